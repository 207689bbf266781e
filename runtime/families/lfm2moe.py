"""LFM2 with experts: LFM2-8B-A1B, LFM2.5-8B-A1B, LFM2-24B-A2B; the first layers have a network.

An expert's score is the sigmoid of its logit, and a bias has a say in the choice alone; the scores
of those used are divided by their sum. Layers are otherwise LFM2's (lfm2.py).
"""

from __future__ import annotations

from functools import partial

from halfbyte.families import lfm2
from halfbyte.families.experts import Names
from halfbyte.families.family import ExpertRules, Family

_NAMES = Names(
    experts=(
        "feed_forward.experts.{}.w1.weight",
        "feed_forward.experts.{}.w3.weight",
        "feed_forward.experts.{}.w2.weight",
    ),
    router="feed_forward.gate.weight",
    selection_bias="feed_forward.expert_bias",
)


FAMILY = Family(
    architecture="lfm2moe",
    rotates_halves=True,
    stages=partial(lfm2.stages, names=_NAMES),
    tensors=partial(lfm2.tensors, names=_NAMES),
    defaults={
        "lfm2_moe": {
            **lfm2.SIZES,
            "hidden_size": 2048,
            "intermediate_size": 7168,
            "num_dense_layers": 2,
            "num_experts": 32,
            "num_experts_per_tok": 4,
            "moe_intermediate_size": 1792,
            "norm_topk_prob": True,
        },
    },
    only={"use_expert_bias": True},
    experts=ExpertRules(
        hf={
            "n_experts": "num_experts",
            "n_used": "num_experts_per_tok",
            "hidden_dim": "moe_intermediate_size",
            "n_dense_layers": "num_dense_layers",
            "normalizes": "norm_topk_prob",
            "scale": "routed_scaling_factor",
        },
        gating="sigmoid",
    ),
    reads=lfm2.READS,
    own_keys=lfm2.OWN_KEYS,
    recurrent=lfm2.RECURRENT,
)
