"""What a page of compressed keys gives to a tile of query rows, as attention_page.py does.

A key's first features are its value too, and there is one copy of it, position by position: what
sums of values need. So a score's sum goes over 16 features at a time, and across lanes at its end.
"""

from __future__ import annotations

import numpy as np

from halfbyte.kernels.compiler.jit import device
from halfbyte.kernels.stages.attention_page import (
    STATE,
    WEIGHTS,
    cap_row,
    load_elements,
    softmax_row,
    weighted,
)
from halfbyte.kernels.vectors.simd import keep_first, load, mul, splat, store
from halfbyte.kernels.vectors.tiles import add_dots, save_sums, zeros


@device
def _scores(q, row_nbytes, keys, d, n_keys, weights, size, n, tile):
    """weights[row][key] = q[row] . key, for `tile` rows and n keys at a time."""
    for key in range(0, n_keys, n):
        acc = zeros(n, tile)
        for i in range(0, d, 16):
            columns = load_elements(keys + (key * d + i) * size, d * size, size == 2, n)
            acc = add_dots(acc, columns, q + 4 * i, row_nbytes, tile)
        save_sums(acc, weights + 4 * key, WEIGHTS, n, tile)


@device
def _row_tile(queries, states, keys, position, window, begin, n_keys, row, n_rows, weights, out, P,
              DV, SIZE, GROUP, QK, PV, TILE, CAP):  # fmt: skip
    """A page's states and values for TILE rows from `row` on; those beyond n_rows are unused."""
    n_vectors = (n_keys + 63) // 64 * 4
    w = weights + row * WEIGHTS
    _scores(queries + row * P * 4, P * 4, keys, P, 16 * n_vectors, w, SIZE, QK, TILE)
    for r in range(row, min(row + TILE, n_rows)):
        cap_row(weights + r * WEIGHTS, n_vectors, CAP)
        n_seen = position + r // GROUP + 1 - begin
        softmax_row(weights + r * WEIGHTS, n_seen - window, n_seen, n_vectors,
                     states + r * STATE)  # fmt: skip
    weighted(w, keys, P * SIZE, DV, n_keys, out + row * DV * 4, SIZE, PV, TILE)


@device
def attend_latents(queries, states, keys, position, window, begin, n_keys, n_rows, weights, out, D,
                   DV, SIZE, GROUP, VECTORS, ROWS, HALF, SINGLE, CAP):  # fmt: skip
    """What a page gives: max and sum into `states`, values into `out`, rows of DV floats."""
    row, P = 0, (D + 31) // 32 * 32
    while row < n_rows:
        left = n_rows - row
        if left > HALF:
            _row_tile(queries, states, keys, position, window, begin, n_keys, row, n_rows, weights,
                      out, P, DV, SIZE, GROUP, VECTORS, VECTORS, ROWS, CAP)  # fmt: skip
            row += ROWS
        elif left > 1:
            _row_tile(queries, states, keys, position, window, begin, n_keys, row, n_rows, weights,
                      out, P, DV, SIZE, GROUP, VECTORS, VECTORS, HALF, CAP)  # fmt: skip
            row += HALF
        else:
            _row_tile(queries, states, keys, position, window, begin, n_keys, row, n_rows, weights,
                      out, P, DV, SIZE, GROUP, 4, SINGLE, 1, CAP)  # fmt: skip
            row += 1


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
