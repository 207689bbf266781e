"""Gemma 3's text models: Gemma 2 with norms of q's and k's heads in place of the cap on scores.

Five of six layers have a window, and a base of rotary embedding of their own (arXiv:2503.19786).
"""

from __future__ import annotations

from functools import partial

from halfbyte.families import gemma2
from halfbyte.families.family import Family

FAMILY = Family(
    architecture="gemma3",
    rotates_halves=True,
    stages=partial(gemma2.stages, norms=True),
    tensors=partial(gemma2.tensors, norms=True),
    defaults={
        "gemma3_text": {
            **gemma2.DEFAULTS_OF_BOTH,
            "vocab_size": 262208,
            "max_position_embeddings": 131072,
            "rope_theta": 1000000.0,
        },
    },
    only={
        "hidden_activation": "gelu_pytorch_tanh",
        "attention_bias": False,
        "use_bidirectional_attention": False,
    },
    reads=gemma2.READS | {"rope_local_base_freq", "rope.freq_base_swa"},
    full_every=6,
    local_theta=10000.0,
    wide_scores=62,
)
