"""Qwen3.5 and Qwen3.6 with experts: 35B-A3B, 122B-A10B, 397B-A17B.

Qwen3.5's layers (qwen35.py) with a choice of experts: softmax, the best few, divided by their sum,
and a shared one, weighed by a sigmoid. Source: the model card of Qwen3.5-35B-A3B.
"""

from __future__ import annotations

from halfbyte.families import qwen3next
from halfbyte.families.family import ExpertRules, Family
from halfbyte.families.qwen35 import SECTIONS

FAMILY = Family(
    architecture="qwen35moe",
    rotates_halves=True,
    stages=qwen3next.stages,
    tensors=qwen3next.tensors,
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
    only={"attention_bias": False, "attn_output_gate": True},
    recurrent=qwen3next.RECURRENT,
    next_names=qwen3next.NEXT_NAMES,
    reads=qwen3next.READS | SECTIONS,
    experts=ExpertRules(
        hf={
            "n_experts": "num_experts num_local_experts",
            "n_used": "num_experts_per_tok",
            "hidden_dim": "moe_intermediate_size",
            "shared_dim": "shared_expert_intermediate_size",
        },
        has_shared=True,
    ),
)
