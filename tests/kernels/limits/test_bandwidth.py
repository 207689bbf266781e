"""The memory benchmark really reads everything."""

from __future__ import annotations

import numpy as np

from halfbyte.kernels.limits.bandwidth import read_bandwidth, read_memory
from halfbyte.kernels.pool import Pool


def test_every_byte_is_read(pool: Pool) -> None:
    memory = np.ones(64 * 1024, np.float32)
    memory[12345] = 3
    for n_shares in (1, 2, 3):
        out = np.zeros(n_shares, np.float32)
        args = np.array([n_shares, memory.ctypes.data, memory.nbytes, out.ctypes.data], np.int64)
        pool.run(read_memory, args)
        assert out.sum() == memory.sum()


def test_a_rate_is_given(pool2: Pool) -> None:
    assert read_bandwidth(pool2, n_bytes=1 << 20, rounds=2) > 0
