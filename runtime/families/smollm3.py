"""SmolLM3: Llama whose every fourth layer does not rotate queries and keys.

Source: its model card; Yang et al., arXiv:2501.18795 (RoPE and NoPE in turn). q and k as in Llama's
files.
"""

from __future__ import annotations

from halfbyte.families import llama
from halfbyte.families.family import DEFAULTS, Family

FAMILY = Family(
    architecture="smollm3",
    rotates_halves=False,
    stages=llama.stages,
    tensors=llama.tensors,
    defaults={
        "smollm3": {
            **DEFAULTS,
            "hidden_size": 2048,
            "intermediate_size": 11008,
            "num_hidden_layers": 36,
            "num_attention_heads": 16,
            "num_key_value_heads": 4,
            "vocab_size": 128256,
            "max_position_embeddings": 32768,
            "rope_theta": 2e6,
            "tie_word_embeddings": True,
        },
    },
    only={"attention_bias": False, "mlp_bias": False, "use_sliding_window": False},
    reads=frozenset({"no_rope_layers", "no_rope_layer_interval"}),
    unrotated_every=4,
)
