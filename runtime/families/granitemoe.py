"""Granite with experts: Granite 3's 1B and 3B, with a shared one beside them in some.

The softmax is of the logits of those that are used. A checkpoint has gate and up of all experts in
one tensor. Source: transformers' modeling_granitemoe.py and modeling_granitemoeshared.py.
"""

from __future__ import annotations

from functools import partial

from halfbyte.families import granite, llama
from halfbyte.families.experts import Names
from halfbyte.families.family import ExpertRules, Family

NAMES = Names(
    experts=(
        "block_sparse_moe.input_linear.weight[0/2]",
        "block_sparse_moe.input_linear.weight[1/2]",
        "block_sparse_moe.output_linear.weight[0/1]",
    ),
    router="block_sparse_moe.router.layer.weight",
    shared="shared_mlp",
    shared_kinds=(
        "input_linear.weight[0/2]",
        "input_linear.weight[1/2]",
        "output_linear.weight[0/1]",
    ),
)
_DEFAULTS = {
    **granite.FAMILY.defaults["granite"],
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
}

EXPERTS = ExpertRules(
    hf={
        "n_experts": "num_local_experts",
        "n_used": "num_experts_per_tok",
        "shared_dim": "shared_intermediate_size",
    },
    gating="softmax_of_used",
    is_wide=True,
)

FAMILY = Family(
    architecture="granitemoe",
    rotates_halves=False,
    stages=partial(llama.stages, names=NAMES),
    tensors=partial(llama.tensors, names=NAMES),
    defaults={"granitemoe": _DEFAULTS, "granitemoeshared": _DEFAULTS},
    only={},
    reads=granite.FAMILY.reads,
    biases={"attention_bias": ("qkv_bias", "out_bias")},
    experts=EXPERTS,
)
