"""Seed-OSS: Llama with biases of q, k and v, and a name of its own for the second norm.

Biases of attention's output and of the network are in its code, and in none of its models. A GGUF
file has q and k in the order of halves.
"""

from __future__ import annotations

from functools import partial

from halfbyte.families import blocks, llama
from halfbyte.families.experts import Names
from halfbyte.families.family import DEFAULTS, Family

_NAMES = Names(file_norm=blocks.LATE_NAME)

FAMILY = Family(
    architecture="seed_oss",
    rotates_halves=True,
    stages=partial(llama.stages, names=_NAMES),
    tensors=partial(llama.tensors, names=_NAMES),
    defaults={
        "seed_oss": {
            **DEFAULTS,
            "intermediate_size": 27648,
            "num_hidden_layers": 64,
            "num_attention_heads": 80,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "vocab_size": 155136,
            "max_position_embeddings": 524288,
            "attention_bias": True,
        },
    },
    only={},
    biases={
        "attention_bias": ("qkv_bias",),
        "attention_out_bias": ("out_bias",),
        "mlp_bias": ("mlp_bias",),
    },
)
