"""Ministral 3 and Devstral Small 2: Llama whose queries grow with their position.

YaRN stretches the context, and behind the original one queries are scaled as in Llama 4 (its model
card: "inference-time temperature scaling"). q and k as in Llama's files.
"""

from __future__ import annotations

from halfbyte.families import llama
from halfbyte.families.config import LOG_MULTIPLIER_KEY, TEMPERATURE_KEY
from halfbyte.families.family import DEFAULTS, Family

FAMILY = Family(
    architecture="mistral3",
    rotates_halves=False,
    stages=llama.stages,
    tensors=llama.tensors,
    defaults={
        "ministral3": {
            **DEFAULTS,
            "intermediate_size": 14336,
            "num_hidden_layers": 34,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "rms_norm_eps": 1e-5,
            "vocab_size": 131072,
            "max_position_embeddings": 262144,
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 1e6,
                "factor": 16.0,
                "original_max_position_embeddings": 16384,
                "beta_fast": 32.0,
                "beta_slow": 1.0,
                "mscale": 1.0,
                "mscale_all_dim": 1.0,
                "llama_4_scaling_beta": 0.1,
            },
        },
    },
    only={"attention_bias": False, "mlp_bias": False, "sliding_window": None},
    reads=frozenset({"llama_4_scaling_beta", TEMPERATURE_KEY, LOG_MULTIPLIER_KEY}),
)
