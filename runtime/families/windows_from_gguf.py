"""Windows of attention as a GGUF file states them: how many positions, and in which layers.

Source: llama.cpp's src/models/, each architecture's load_arch_hparams.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from halfbyte.errors import ModelFileError
from halfbyte.families.config import KEYS, MAX_CTX, MAX_LAYERS, PATTERN_KEY, WINDOW_KEY
from halfbyte.families.family import Family
from halfbyte.families.metadata_keys import is_saved
from halfbyte.gguf.metadata import Metadata

_NAME = KEYS["sliding_window"].gguf


def read_windows(m: Metadata, family: Family, n_layers: int) -> tuple[int, tuple[bool, ...]]:
    """Positions that a token sees, 0: all; and which layers have that window, (): all.

    Raises:
        ModelFileError: a number is missing, of another type or out of range; layers are said to
            have a window, and none is stated; or one is under two names.
    """
    key = f"{family.architecture}.{_NAME}"
    if _NAME not in family.reads:
        return m.get_int(WINDOW_KEY, 0, minimum=1, maximum=MAX_CTX), ()
    if WINDOW_KEY in m:
        got = m.raw(WINDOW_KEY).value
        raise ModelFileError(m.path, WINDOW_KEY, expected=f"no such key beside {key}", got=got)
    window = _window(m, family, key)
    layers = _layers(m, family, n_layers)
    pattern_key = f"{family.architecture}.{PATTERN_KEY}"
    if not window and family.full_every and pattern_key in m and any(layers):
        expected = f"the window of the layers that {pattern_key} names"
        got = m.raw(key).value if key in m else "no such key"
        raise ModelFileError(m.path, key, expected=expected, got=got)
    return window, layers


def _window(m: Metadata, family: Family, key: str) -> int:
    """Where a model may have none, a file lacks the key; some programs write 0 all the same."""
    if not family.full_every:  # Phi-3: llama.cpp's converter states 0 of Phi-4
        return m.get_int(key, 0, maximum=MAX_CTX)
    if not family.may_lack_window:
        return m.get_int(key, minimum=1, maximum=MAX_CTX)
    return m.get_int(key, 0, minimum=0 if is_saved(m, family.architecture) else 1, maximum=MAX_CTX)


def _layers(m: Metadata, family: Family, n_layers: int) -> tuple[bool, ...]:
    key = f"{family.architecture}.{PATTERN_KEY}"
    if not family.full_every or key not in m:
        return family.sliding_layers(n_layers)
    stated = m.raw(key).value
    if isinstance(stated, np.ndarray):
        if stated.dtype.kind not in "bui":
            raise ModelFileError(m.path, key, expected="truth values", got=stated.dtype)
        if len(stated) != n_layers:
            expected = f"one for each of {n_layers} layers"
            raise ModelFileError(m.path, key, expected=expected, got=len(stated))
        return tuple(bool(one) for one in stated)
    n = m.get_int(key, minimum=1, maximum=MAX_LAYERS)
    return replace(family, full_every=n).sliding_layers(n_layers)
