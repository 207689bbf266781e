"""Multi-head latent attention: all heads share one compressed vector for keys and values.

Of a row there is [c, k], c of `rank` features, and of each head q = [q1, q2]. The cache keeps the

    key    [RMSNorm(c), rope(k)]    whose first `rank` features are the value

and a head's scores are the products of it with

    query  [W_k q1, rope(q2)]

since (W_k^T c) . q1 = c . (W_k q1). What attention gives of a head is a mix of compressed vectors,
of which W_v then makes its values. So neither keys nor values of heads are ever made, and the
arithmetic of a prompt is that of a single token.

Source: DeepSeek-V2, arXiv:2405.04434, section 2.1 and appendix C.
"""

from __future__ import annotations

import numpy as np

from halfbyte.kernels.compiler.jit import device, kernel
from halfbyte.kernels.layouts.activations import MOST_RECORD_NBYTES, padded, put_row
from halfbyte.kernels.layouts.kv_pages import PAGE
from halfbyte.kernels.pool import share
from halfbyte.kernels.stages.products import STRIP_NBYTES, multiply
from halfbyte.kernels.stages.record import HEADS, LATENTS, MATRIX, MATRIX_NBYTES, STEP
from halfbyte.kernels.stages.rope import norm_head, rotate
from halfbyte.kernels.stages.rows import n_rows
from halfbyte.kernels.vectors.scalars import get_f32, get_i64, put_f32
from halfbyte.kernels.vectors.simd import (
    keep_first,
    load,
    maximum,
    minimum,
    mul,
    splat,
    store,
    store_f16,
)

# Keys stay finite, as append.py has it.
_LARGEST_F16, _LARGEST_F32 = np.float32(65504), np.float32(3.0e38)
TOKENS = 64  # that a head's matrix is multiplied by at once


def heads_work_nbytes(n_inputs: int, n_outputs: int) -> int:
    """Bytes of a thread's own memory that a matrix for each head takes."""
    n = padded(n_inputs)
    return TOKENS * (4 * n + n // 32 * MOST_RECORD_NBYTES + 4 * padded(n_outputs))


@kernel
def append_latents(stage, step, chunk, n_chunks):
    """Some rows' keys into the cache, and their queries' second parts."""
    n = n_rows(stage, step)
    for row in range(share(chunk, n_chunks, n), share(chunk + 1, n_chunks, n)):
        position = get_i64(get_i64(step + STEP.positions) + 8 * row)
        pages = get_i64(get_i64(step + STEP.pages) + 16 * row)
        table = get_i64(get_i64(step + STEP.rope_rows) + 8 * row)
        _append_key(stage, row, table, position, pages)
        _finish_queries(stage, row, table)


@device
def _append_key(stage, row, table, position, pages):
    """[RMSNorm(c), rope(k)] to its place."""
    kv = get_i64(stage + LATENTS.x) + row * get_i64(stage + LATENTS.x_stride)
    rank, nbytes = get_i64(stage + LATENTS.dim), get_i64(stage + LATENTS.row_nbytes)
    norm_head(kv, get_i64(stage + LATENTS.weight), rank, get_f32(stage + LATENTS.eps))
    rotate(kv + 4 * rank, table + get_i64(stage + LATENTS.rope_at),
           get_i64(stage + LATENTS.n_rotated))  # fmt: skip
    to = get_i64(pages + 8 * (position // PAGE)) + get_i64(stage + LATENTS.layer_at)
    to += position % PAGE * nbytes
    if get_i64(stage + LATENTS.is_f16) != 0:
        for v in range(nbytes // 32):
            store_f16(to + 32 * v, _within(load(kv + 64 * v), _LARGEST_F16))
    else:
        for v in range(nbytes // 64):
            store(to + 64 * v, _within(load(kv + 64 * v), _LARGEST_F32))


@device
def _within(x, largest):
    """x within +-largest; a NaN becomes `largest`."""
    return maximum(minimum(x, splat(largest)), splat(-largest))


@device
def _finish_queries(stage, row, table):
    """rope(q2) behind each head's first part, and all of it times the position's factor."""
    q = get_i64(stage + LATENTS.q) + row * get_i64(stage + LATENTS.q_stride)
    queries = get_i64(stage + LATENTS.queries) + row * get_i64(stage + LATENTS.queries_stride)
    n_heads, width = get_i64(stage + LATENTS.n_heads), get_i64(stage + LATENTS.head_dim)
    rank, n_rotated = get_i64(stage + LATENTS.dim), get_i64(stage + LATENTS.n_rotated)
    for head in range(n_heads):
        source = q + 4 * (head * get_i64(stage + LATENTS.q_width) + get_i64(stage + LATENTS.q_at))
        to = queries + 4 * (head * width + rank)
        for i in range(n_rotated):
            put_f32(to + 4 * i, get_f32(source + 4 * i))
        rotate(to, table + get_i64(stage + LATENTS.rope_at), n_rotated)
    factor = splat(get_f32(table + get_i64(stage + LATENTS.q_scale_at)))
    for at in range(0, 4 * n_heads * width, 64):
        store(queries + at, mul(load(queries + at), factor))


@kernel
def multiply_heads(stage, step, chunk, n_chunks):
    """y = W x of some heads, each with a matrix of its own."""
    n, n_heads = n_rows(stage, step), get_i64(stage + HEADS.n_heads)
    for head in range(share(chunk, n_chunks, n_heads), share(chunk + 1, n_chunks, n_heads)):
        for first in range(0, n, TOKENS):
            _multiply_head(stage, step, head, first, min(n - first, TOKENS))


@device
def _multiply_head(stage, step, head, first, n):
    """Those of n tokens from `first` on."""
    matrix = get_i64(stage + HEADS.matrices) + head * MATRIX_NBYTES
    n_blocks, n_strips = get_i64(stage + HEADS.n_blocks), get_i64(matrix + MATRIX.n_panels) // 2
    floats, stride = get_i64(step + STEP.work), 128 * get_i64(stage + HEADS.n_blocks)
    records = floats + n * stride
    nbytes = get_i64(matrix + MATRIX.record_nbytes)  # 0: it takes floats
    out = records + n * n_blocks * nbytes
    for row in range(n):
        x = get_i64(stage + HEADS.x) + (first + row) * get_i64(stage + HEADS.x_stride)
        _take(stage, x + 4 * head * get_i64(stage + HEADS.width), floats + row * stride)
        if nbytes != 0:
            put_row(floats + row * stride, n_blocks, records + row * nbytes, n * nbytes, nbytes)
    width = n_strips * STRIP_NBYTES
    multiply(matrix, 0, n_strips, records, floats, stride, n, out, width, 0)
    for row in range(n):
        y = get_i64(stage + HEADS.y) + (first + row) * get_i64(stage + HEADS.y_stride)
        y += 4 * head * get_i64(stage + HEADS.y_width)
        _put(out + row * width, y, get_i64(stage + HEADS.n_rows))


@device
def _take(stage, x, to):
    """A head's input, padded with zeros."""
    n = get_i64(stage + HEADS.dim)
    for v in range(2 * get_i64(stage + HEADS.n_blocks)):
        own = keep_first(load(x + 64 * v), n - 16 * v, splat(np.float32(0)))
        store(to + 64 * v, own)


@device
def _put(x, y, n):
    """y = x, n floats and no more."""
    for v in range(n // 16):
        store(y + 64 * v, load(x + 64 * v))
    for i in range(n // 16 * 16, n):
        put_f32(y + 4 * i, get_f32(x + 4 * i))
