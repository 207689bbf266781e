"""Qwen1.5 and Qwen2 with experts: Qwen2-57B-A14B (arXiv:2407.10671).

Beside a token's experts there is a shared one, weighed by a sigmoid of its own. Scores are not
divided by their sum.
"""

from __future__ import annotations

from functools import partial

from halfbyte.families import llama
from halfbyte.families.experts import Names
from halfbyte.families.family import DEFAULTS, ExpertRules, Family

NAMES = Names(shared="mlp.shared_expert", shared_gate="mlp.shared_expert_gate.weight")

# What config.json says of experts, in Qwen's words.
SIZE_KEYS = {
    "n_experts": "num_experts num_local_experts",
    "n_used": "num_experts_per_tok",
    "hidden_dim": "moe_intermediate_size",
}
SHARED_KEYS = {"shared_dim": "shared_expert_intermediate_size"}
CHOICE_KEYS = {
    "normalizes": "norm_topk_prob",
    "every": "decoder_sparse_step",
    "dense_layers": "mlp_only_layers",
}

FAMILY = Family(
    architecture="qwen2moe",
    rotates_halves=True,
    stages=partial(llama.stages, names=NAMES, biases=True),
    tensors=partial(llama.tensors, names=NAMES, biases=True),
    defaults={
        "qwen2_moe": {
            **DEFAULTS,
            "hidden_size": 2048,
            "intermediate_size": 5632,
            "vocab_size": 151936,
            "max_position_embeddings": 32768,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "num_key_value_heads": 16,
            "num_experts": 60,
            "num_experts_per_tok": 4,
            "moe_intermediate_size": 1408,
            "shared_expert_intermediate_size": 5632,
            "max_window_layers": 28,
        },
    },
    only={
        "qkv_bias": True,
        "use_sliding_window": False,
    },
    experts=ExpertRules(
        hf={**SIZE_KEYS, **SHARED_KEYS, **CHOICE_KEYS},
        normalizes=False,
        has_shared=True,
    ),
)
