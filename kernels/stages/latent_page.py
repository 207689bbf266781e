"""What a page of compressed keys gives to a tile of query rows, as attention_page.py does.

A key's first features are its value too, and there is one copy of it, position by position: what
sums of values need. So a score's sum goes over 16 features at a time, and across lanes at its end.
"""

from __future__ import annotations

import numpy as np

from halfbyte.kernels.compiler.jit import device
from halfbyte.kernels.stages.attention_page import (
    WEIGHTS,
    in_tiles_of_rows,
    last_seen,
    load_elements,
    prefetch_lines,
    softmax_rows,
    weigh_rows,
)
from halfbyte.kernels.vectors.simd import keep_first, load, mul, splat, store
from halfbyte.kernels.vectors.tiles import add_dots, save_sums, zeros


@device
def _scores(q, row_nbytes, keys, ahead, d, n_keys, weights, size, n, tile):
    """weights[row][key] = q[row] . key, for `tile` rows and n keys at a time."""
    for key in range(0, n_keys, n):
        acc = zeros(n, tile)
        for i in range(0, d, 16):
            prefetch_lines(keys + ahead + (key * d + i * n) * size, n * 16 * size)
            columns = load_elements(keys + (key * d + i) * size, d * size, size == 2, n)
            acc = add_dots(acc, columns, q + 4 * i, row_nbytes, tile)
        save_sums(acc, weights + 4 * key, WEIGHTS, n, tile)


_score_rows = in_tiles_of_rows(_scores, "latents")


@device
def attend_latents(queries, states, keys, ahead, n_seen, window, n_rows, weights, out, D,
                   DV, SIZE, GROUP, VECTORS, PV, SINGLE, ROWS, FEWER, CAP):  # fmt: skip
    """What a page gives: max and sum into `states`, values into `out`, rows of DV floats."""
    n_keys = last_seen(n_seen, n_rows, GROUP)
    n_vectors, P = (n_keys + 63) // 64 * 4, (D + 31) // 32 * 32
    _score_rows(queries, P * 4, keys, ahead, P, 16 * n_vectors, n_rows, weights, SIZE, VECTORS,
                ROWS, FEWER)  # fmt: skip
    softmax_rows(weights, states, n_seen, window, n_rows, n_vectors, GROUP, CAP)
    weigh_rows(weights, keys, 0, P * SIZE, n_keys, n_rows, out, DV, SIZE, PV, SINGLE, ROWS,
               FEWER)  # fmt: skip


@device
def take_latent_queries(q, q_stride, n_rows, queries, D, DV, GROUP, scale, SIZE):
    """Copy the queries, scaled, to rows of D floats padded with zeros."""
    P = (D + 31) // 32 * 32
    for row in range(n_rows):
        source = q + row // GROUP * q_stride + row % GROUP * D * 4
        for v in range(P // 16):
            x = mul(load(source + 64 * v), splat(scale))
            x = keep_first(x, D - 16 * v, splat(np.float32(0)))
            store(queries + row * P * 4 + 64 * v, x)
