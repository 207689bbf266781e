"""ERNIE 4.5 with experts: the first layers have a network, the others a choice of experts.

The softmax of all is weighed; a bias has a say in the choice alone. Shared experts are one, as wide
as these together. Source: transformers' modeling_ernie4_5_moe.py. Checkpoints have q and k in the
order of neighbours, and so has GGUF.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from halfbyte.families import llama
from halfbyte.families.config import STEP_KEY, ModelConfig
from halfbyte.families.experts import Names
from halfbyte.families.family import DEFAULTS, ExpertRules, Family
from halfbyte.families.next_tokens import NEXT_KEYS
from halfbyte.families.tensors import TensorSpec

_NAMES = Names(
    shared="mlp.shared_experts", selection_bias="mlp.moe_statics.e_score_correction_bias"
)


def tensors(c: ModelConfig) -> Iterator[TensorSpec]:
    """What it takes; a checkpoint has the bias as a row."""
    for spec in llama.tensors(c, names=_NAMES):
        is_row = spec.hf_name.endswith(_NAMES.selection_bias)
        yield replace(spec, shape=(1, *spec.shape)) if is_row else spec


FAMILY = Family(
    architecture="ernie4_5-moe",
    rotates_halves=False,
    hf_neighbours=True,
    stages=partial(llama.stages, names=_NAMES),
    tensors=tensors,
    defaults={
        "ernie4_5_moe": {
            **DEFAULTS,
            "hidden_size": 2560,
            "intermediate_size": 12288,
            "num_hidden_layers": 28,
            "num_attention_heads": 20,
            "num_key_value_heads": 4,
            "vocab_size": 103424,
            "max_position_embeddings": 131072,
            "rms_norm_eps": 1e-5,
            "rope_theta": 500000.0,
            "tie_word_embeddings": True,
            "moe_num_experts": 64,
            "moe_k": 6,
            "moe_intermediate_size": 1536,
            "moe_num_shared_experts": 2,
            "moe_layer_start_index": 1,
        },
    },
    only={"use_bias": False},
    reads=NEXT_KEYS | {STEP_KEY},
    experts=ExpertRules(
        hf={
            "n_experts": "moe_num_experts num_experts",
            "n_used": "moe_k num_experts_per_tok",
            "hidden_dim": "moe_intermediate_size",
            "n_shared": "moe_num_shared_experts",
            "n_dense_layers": "moe_layer_start_index",
            "last": "moe_layer_end_index",
            "every": "moe_layer_interval",
        },
    ),
)
