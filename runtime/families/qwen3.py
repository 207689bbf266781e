"""Qwen3: Llama with an RMSNorm of each head of q and k (arXiv:2505.09388).

A GGUF file has q, k and their norms in the order of halves. config.json states a window that is
not used.
"""

from __future__ import annotations

from functools import partial

from halfbyte.families import llama
from halfbyte.families.family import Family

FAMILY = Family(
    architecture="qwen3",
    model_types=("qwen3",),
    rotates_halves=True,
    stages=partial(llama.stages, norms=True),
    tensors=partial(llama.tensors, norms=True),
    only={"hidden_act": "silu", "attention_bias": False, "use_sliding_window": False},
)
