"""How fast this machine reads memory: the limit that decoding is measured against."""

from __future__ import annotations

import time

import numpy as np

from halfbyte.kernels.pool import Pool, item_job, share
from halfbyte.kernels.vectors.scalars import get_i64, put_f32
from halfbyte.kernels.vectors.simd import add, load, splat, sum_lanes
from halfbyte.kernels.vectors.words import words

N_SHARES = 64
_ARGS = words("n_shares memory n out")


def _read_share(args, i):
    memory, n = get_i64(args + _ARGS.memory), get_i64(args + _ARGS.n)
    a = b = c = d = splat(np.float32(0))
    for line in range(share(i, N_SHARES, n // 256), share(i + 1, N_SHARES, n // 256)):
        at = memory + 256 * line
        a = add(a, load(at))
        b = add(b, load(at + 64))
        c = add(c, load(at + 128))
        d = add(d, load(at + 192))
    put_f32(get_i64(args + _ARGS.out) + 4 * i, sum_lanes(add(add(a, b), add(c, d))))


# Reads n bytes, a multiple of 64 * 256, once and leaves numbers that depend on all.
read_memory = item_job(_read_share, _ARGS, "bandwidth.read_memory")


def read_bandwidth(pool: Pool, n_bytes: int = 1 << 29, rounds: int = 5) -> float:
    """Median bytes per second at which all threads of the pool together read fresh memory."""
    memory = np.zeros(n_bytes // 4, np.float32)
    memory[:] = 1.0  # untouched zero pages all map to one page, which stays in the cache
    out = np.zeros(N_SHARES, np.float32)
    args = np.array([N_SHARES, memory.ctypes.data, n_bytes, out.ctypes.data], np.int64)
    seconds = []
    for _ in range(rounds + 1):
        begin = time.perf_counter()
        pool.run(read_memory, args)
        seconds.append(time.perf_counter() - begin)
    return float(n_bytes / np.median(seconds[1:]))
