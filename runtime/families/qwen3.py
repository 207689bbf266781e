"""Qwen3: Llama with an RMSNorm of each head of q and k (arXiv:2505.09388).

A GGUF file has q, k and their norms in the order of halves. config.json states a window that is
not used.
"""

from __future__ import annotations

from functools import partial

from halfbyte.families import llama
from halfbyte.families.family import DEFAULTS, Family

FAMILY = Family(
    architecture="qwen3",
    rotates_halves=True,
    stages=partial(llama.stages, norms=True),
    tensors=partial(llama.tensors, norms=True),
    defaults={
        "qwen3": {
            **DEFAULTS,
            "intermediate_size": 22016,
            "vocab_size": 151936,
            "max_position_embeddings": 32768,
            "head_dim": 128,
            "max_window_layers": 28,
        },
    },
    only={"attention_bias": False},
)
