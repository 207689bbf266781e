"""ERNIE 4.5's dense models: Llama, with biases in all matrices where it says so.

Its checkpoints have q and k in the order of neighbours, and so has GGUF.
"""

from __future__ import annotations

from halfbyte.families import llama
from halfbyte.families.family import DEFAULTS, Family

FAMILY = Family(
    architecture="ernie4_5",
    rotates_halves=False,
    hf_neighbours=True,
    stages=llama.stages,
    tensors=llama.tensors,
    defaults={
        "ernie4_5": {
            **DEFAULTS,
            "hidden_size": 1024,
            "intermediate_size": 3072,
            "num_hidden_layers": 18,
            "num_attention_heads": 16,
            "num_key_value_heads": 2,
            "head_dim": 128,
            "vocab_size": 103424,
            "max_position_embeddings": 131072,
            "rms_norm_eps": 1e-5,
            "rope_theta": 500000.0,
            "tie_word_embeddings": True,
        },
    },
    only={},
    biases={"use_bias": ("qkv_bias", "out_bias", "mlp_bias")},
)
