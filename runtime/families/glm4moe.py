"""GLM with experts: GLM-4.5, GLM-4.6; the first layers have a network.

An expert's score is the sigmoid of its logit; a bias has a say in the choice alone. Half of each
head is rotated; the larger models have norms of q's and k's heads (arXiv:2508.06471). A GGUF file
has q and k in the order of halves.
"""

from __future__ import annotations

from functools import partial

from halfbyte.families import blocks, llama
from halfbyte.families.experts import Names
from halfbyte.families.family import DEFAULTS, ExpertRules, Family, NextNames
from halfbyte.families.next_tokens import NEXT_KEYS

_NAMES = Names(
    shared="mlp.shared_experts", selection_bias="mlp.gate.e_score_correction_bias",
    file_norm=blocks.LATE_NAME,
)  # fmt: skip

FAMILY = Family(
    architecture="glm4moe",
    rotates_halves=True,
    stages=partial(llama.stages, names=_NAMES),
    tensors=partial(llama.tensors, names=_NAMES),
    defaults={
        "glm4_moe": {
            **DEFAULTS,
            "intermediate_size": 10944,
            "num_hidden_layers": 46,
            "num_attention_heads": 96,
            "num_key_value_heads": 8,
            "rms_norm_eps": 1e-5,
            "vocab_size": 151552,
            "max_position_embeddings": 131072,
            "partial_rotary_factor": 0.5,
            "n_routed_experts": 128,
            "num_experts_per_tok": 8,
            "moe_intermediate_size": 1408,
            "n_shared_experts": 1,
            "first_k_dense_replace": 1,
            "norm_topk_prob": True,
        },
    },
    only={},
    next_names=NextNames(),
    reads=NEXT_KEYS | {"partial_rotary_factor", "rope.dimension_count"},
    biases={"attention_bias": ("qkv_bias",), "use_qk_norm": ("head_norms",)},
    experts=ExpertRules(
        hf={
            "n_experts": "n_routed_experts num_local_experts",
            "n_used": "num_experts_per_tok",
            "hidden_dim": "moe_intermediate_size",
            "n_shared": "n_shared_experts",
            "n_dense_layers": "first_k_dense_replace",
            "normalizes": "norm_topk_prob",
            "scale": "routed_scaling_factor",
            "n_groups": "n_group",
            "n_groups_used": "topk_group",
        },
        gating="sigmoid",
        normalizes=False,
        states_norm=True,
    ),
)
