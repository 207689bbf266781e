"""Qwen2 and Qwen2.5, Coder too: Llama with biases of q, k and v (arXiv:2407.10671).

A GGUF file has q and k in the order of halves. config.json states a window that is not used.
"""

from __future__ import annotations

from functools import partial

from halfbyte.families import llama
from halfbyte.families.family import DEFAULTS, Family

FAMILY = Family(
    architecture="qwen2",
    rotates_halves=True,
    stages=partial(llama.stages, biases=True),
    tensors=partial(llama.tensors, biases=True),
    defaults={
        "qwen2": {
            **DEFAULTS,
            "intermediate_size": 22016,
            "vocab_size": 151936,
            "max_position_embeddings": 32768,
            "max_window_layers": 28,
        },
    },
    only={"mlp_bias": False},
)
