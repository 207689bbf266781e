"""Qwen3 with experts: Qwen3-30B-A3B, Qwen3-Coder-30B-A3B (arXiv:2505.09388).

Every layer's network is a choice of experts: softmax, the best few, divided by their sum.
"""

from __future__ import annotations

from functools import partial

from halfbyte.families import llama
from halfbyte.families.experts import Names
from halfbyte.families.family import DEFAULTS, ExpertRules, Family
from halfbyte.families.qwen2moe import CHOICE_KEYS, SIZE_KEYS

_NAMES = Names()

FAMILY = Family(
    architecture="qwen3moe",
    rotates_halves=True,
    stages=partial(llama.stages, names=_NAMES, norms=True),
    tensors=partial(llama.tensors, names=_NAMES, norms=True),
    defaults={
        "qwen3_moe": {
            **DEFAULTS,
            "hidden_size": 2048,
            "intermediate_size": 6144,
            "vocab_size": 151936,
            "max_position_embeddings": 32768,
            "num_hidden_layers": 24,
            "num_key_value_heads": 4,
            "num_experts": 128,
            "num_experts_per_tok": 8,
            "moe_intermediate_size": 768,
            "max_window_layers": 28,
            "norm_topk_prob": False,  # which all published ones set
        },
    },
    only={
        "attention_bias": False,
        "use_sliding_window": False,
    },
    experts=ExpertRules(hf={**SIZE_KEYS, **CHOICE_KEYS}),
)
