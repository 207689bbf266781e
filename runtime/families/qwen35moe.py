"""Qwen3.5 and Qwen3.6 with experts: 35B-A3B, 122B-A10B, 397B-A17B.

Qwen3.5's layers (qwen35.py) with a choice of experts: softmax, the best few, divided by their sum,
and a shared one, weighed by a sigmoid. Source: the model card of Qwen3.5-35B-A3B.
"""

from __future__ import annotations

from dataclasses import replace

from halfbyte.families import qwen3next, qwen35
from halfbyte.families.family import ExpertRules
from halfbyte.families.qwen2moe import SHARED_KEYS, SIZE_KEYS

FAMILY = replace(
    qwen35.FAMILY,
    architecture="qwen35moe",
    defaults={
        "qwen3_5_moe_text": {
            **qwen3next.DEFAULTS_OF_ALL,
            "hidden_size": 2048,
            "intermediate_size": None,  # no layer has a network
            "vocab_size": 248320,
            "num_hidden_layers": 40,
            "num_key_value_heads": 2,
            "num_experts": 256,
            "num_experts_per_tok": 8,
            "moe_intermediate_size": 512,
            "shared_expert_intermediate_size": 512,
        },
    },
    experts=ExpertRules(hf={**SIZE_KEYS, **SHARED_KEYS}, has_shared=True),
)
