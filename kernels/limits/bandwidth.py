"""How fast this machine reads memory: the limit that decoding is measured against."""

from __future__ import annotations

import time

import numpy as np

from halfbyte.kernels.pool import Pool, item_job, share
from halfbyte.kernels.vectors.scalars import get_i64, put_f32
from halfbyte.kernels.vectors.simd import add, load, splat, sum_lanes
from halfbyte.kernels.vectors.words import words

_TRY_NBYTES = 1 << 25  # of a try: a few milliseconds, in which neighbours may be quiet
_ARGS = words("n_shares memory n out")


def _read_share(args, i):
    memory, n = get_i64(args + _ARGS.memory), get_i64(args + _ARGS.n)
    n_shares = get_i64(args + _ARGS.n_shares)
    a = b = c = d = splat(np.float32(0))
    for line in range(share(i, n_shares, n // 256), share(i + 1, n_shares, n // 256)):
        at = memory + 256 * line
        a = add(a, load(at))
        b = add(b, load(at + 64))
        c = add(c, load(at + 128))
        d = add(d, load(at + 192))
    put_f32(get_i64(args + _ARGS.out) + 4 * i, sum_lanes(add(add(a, b), add(c, d))))


# Reads n bytes, a multiple of 256, once and leaves a number for each share that depends on all.
read_memory = item_job(_read_share, _ARGS, "bandwidth.read_memory")


def read_bandwidth(pool: Pool, n_bytes: int = 1 << 29, rounds: int = 2) -> float:
    """The most bytes per second at which all threads of the pool together read fresh memory.

    Each thread reads a part of its own from front to back, as decoding does. It is the best of
    many short tries, since whatever else the machine does may slow a try down, never speed it up.
    """
    memory = np.ones(n_bytes // 4, np.float32)  # untouched pages all map to one, of zeros
    out = np.zeros(pool.n_threads, np.float32)
    size = min(n_bytes, _TRY_NBYTES)
    seconds = []
    for at in [*range(0, n_bytes - size + 1, size)] * rounds:
        start = memory.ctypes.data + at
        args = np.array([pool.n_threads, start, size, out.ctypes.data], np.int64)
        begin = time.perf_counter()
        pool.run(read_memory, args)
        seconds.append(time.perf_counter() - begin)
    return size / min(seconds[1:])
