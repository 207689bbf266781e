"""Mellum 2: Qwen3 with experts, of which three of four layers have a window (arXiv:2605.31268).

Only layers without one are stretched to longer contexts. llama.cpp computes the same where both
kinds have one base: it takes the other's for layers with a window, whatever a file says.
"""

from __future__ import annotations

from halfbyte.families import qwen3moe
from halfbyte.families.family import DEFAULTS, ExpertRules, Family
from halfbyte.families.neutral import among, each
from halfbyte.families.qwen2moe import CHOICE_KEYS, SIZE_KEYS

FAMILY = Family(
    architecture="mellum",
    rotates_halves=True,
    stages=qwen3moe.FAMILY.stages,
    tensors=qwen3moe.FAMILY.tensors,
    defaults={
        "mellum": {
            **DEFAULTS,
            "hidden_size": 2304,
            "intermediate_size": 7168,
            "vocab_size": 98304,
            "max_position_embeddings": 131072,
            "num_hidden_layers": 28,
            "num_key_value_heads": 4,
            "head_dim": 128,
            "sliding_window": 1024,
            "layer_types": None,  # none has the window
            "rope_parameters": {
                "full_attention": {"rope_type": "default", "rope_theta": 500000.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
            },
            "num_experts": 64,
            "num_experts_per_tok": 8,
            "moe_intermediate_size": 896,
            "norm_topk_prob": True,
        },
    },
    only={
        "attention_bias": False,
        "use_sliding_window": among(True, None),
        "mlp_layer_types": each("sparse"),
    },
    reads=frozenset(
        "attention.sliding_window attention.sliding_window_pattern rope.freq_base_swa"
        " num_mtp_layers num_nextn_predict_layers mtp_layer_types mtp_mlp_layer_types".split()
    ),
    full_every=4,
    local_theta=0.0,
    experts=ExpertRules(hf={**SIZE_KEYS, "normalizes": CHOICE_KEYS["normalizes"]}),
)
