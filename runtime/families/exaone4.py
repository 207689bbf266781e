"""EXAONE 4: OLMo 2's order of norms, with norms of q's and k's heads in place of those of all.

In large models three of four layers have a window, and the others do not rotate queries and keys;
small ones have no window and rotate in all layers. llama.cpp sees windows in models of 64 layers
alone. Source: arXiv:2507.11407. A GGUF file has q and k in the order of halves.
"""

from __future__ import annotations

from functools import partial

from halfbyte.families import olmo2
from halfbyte.families.family import DEFAULTS, Family
from halfbyte.families.next_tokens import NEXT_KEYS

FAMILY = Family(
    architecture="exaone4",
    rotates_halves=True,
    stages=partial(olmo2.stages, head_norms=True),
    tensors=partial(olmo2.tensors, head_norms=True),
    defaults={
        "exaone4": {
            **DEFAULTS,
            "intermediate_size": 16384,
            "vocab_size": 102400,
            "max_position_embeddings": 2048,
            "rms_norm_eps": 1e-5,
            "sliding_window": 4096,
        },
    },
    only={},
    reads=NEXT_KEYS
    | {
        "sliding_window_pattern",
        "attention.sliding_window",
        "attention.sliding_window_pattern",
        "rope.freq_base_swa",
    },
    full_every=4,
    rotates_in_windows=True,
    null_is_no_window=True,
    n_layers_with_window=64,
)
