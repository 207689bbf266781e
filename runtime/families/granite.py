"""Granite: Llama whose embeddings, layers, scores and logits are scaled (arXiv:2405.04324).

llama.cpp's converter puts q and k into the order of neighbours.
"""

from __future__ import annotations

from halfbyte.families import llama
from halfbyte.families.config import option_keys
from halfbyte.families.family import DEFAULTS, Family

FAMILY = Family(
    architecture="granite",
    rotates_halves=False,
    stages=llama.stages,
    tensors=llama.tensors,
    defaults={
        "granite": {
            **DEFAULTS,
            "intermediate_size": 11008,
            "vocab_size": 32000,
            "max_position_embeddings": 2048,
            "num_key_value_heads": None,  # as many as heads
            "attention_multiplier": 1.0,
        },
    },
    only={},
    reads=option_keys("embedding_scale", "residual_scale", "attention_scale", "logit_scale"),
    biases={"attention_bias": ("qkv_bias", "out_bias"), "mlp_bias": ("mlp_bias",)},
)
