"""Texts of any length for a tiny checkpoint, made from its seed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def ids_of(seed: int, vocab_size: int, n: int) -> NDArray[np.int64]:
    """BOS and n - 1 ids; of raw bits, which stay the same in every version of NumPy."""
    raw = np.random.PCG64([seed, 1]).random_raw(n) >> np.uint64(32)
    ids = 3 + (raw % np.uint64(vocab_size - 3)).astype(np.int64)
    ids[0] = 1
    return ids
