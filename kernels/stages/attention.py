"""Causal attention of a block of queries over the paged cache, in one pass.

The keys are walked page by page from position 0. Each page gives, for each query row, its largest
score, the sum of the exponentials below it and the values weighted by them; these partial results
are merged in page order (online softmax: Milakov and Gimelshein, arXiv:1805.02867; Dao et al.,
arXiv:2205.14135). Pages are fixed positions, so a row's arithmetic is the same whether it comes
in a prompt of any chunking, alone, or beside others. Keys behind a row's own position count with
weight 0, which changes no bit since the cache holds finite numbers only.

The query heads that share a KV head are rows of the same task, so the cache is read once for all.
What a page gives is in attention_page.py, codes_page.py and latent_page.py.

The pages of a few queries can be dealt to several threads: `pages_kernel` leaves what each page
gives, a *partial*, in memory, and `merge_kernel` merges the partials in page order, with the same
bits. A partial that is *given* comes before all pages (attention_sinks.py).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from halfbyte.kernels.compiler import target
from halfbyte.kernels.compiler.jit import Kernel, device, kernel_maker
from halfbyte.kernels.layouts.kv_pages import KV_TYPES, PAGE, is_coded, padded_dim
from halfbyte.kernels.stages.attention_page import (
    MAX_ROWS,
    MINUS_INF,
    PLANE,
    WEIGHTS,
    attend_page,
    take_queries,
)
from halfbyte.kernels.stages.codes_page import attend_codes, take_query_codes
from halfbyte.kernels.stages.latent_page import attend_latents, take_latent_queries
from halfbyte.kernels.vectors.hadamard import rotate_head
from halfbyte.kernels.vectors.scalars import get_f32, get_i64, put_f32, stack
from halfbyte.kernels.vectors.simd import add, div, fma, load, maximum, mul, splat, store, sub
from halfbyte.kernels.vectors.vector_math import exp_below_0

PAGE_STATES, MERGED_STATES = 2 * PLANE, 4 * PLANE  # bytes: of a page, of what was merged
NO_WINDOW = 1 << 30  # a window beyond any context, in 32 bits: lanes are compared in these
_SINGLE = 4  # a lone row needs so many independent sums at least


def scratch_floats(value_dim: int) -> int:
    """Floats of scratch that a task needs: queries, weights, a page's values, merged values."""
    return MAX_ROWS * (PAGE + 3 * value_dim + (PAGE_STATES + MERGED_STATES) // PLANE)


def partial_nbytes(value_dim: int, group: int) -> int:
    """Bytes of what a page gives for a query's `group` heads of a KV head: states, values."""
    return group * (2 * 4 + 4 * value_dim)


def query_block(group: int) -> int:
    """Queries (positions) per task when `group` query heads share a KV head.

    Raises:
        ValueError: not even one query's heads fit the scratch of a task.
    """
    if group > MAX_ROWS:
        raise ValueError(f"attention: {group} query heads per KV head, expected up to {MAX_ROWS}")
    return MAX_ROWS // group


# --- merging pages ----------------------------------------------------------------------------
# What was merged of rows: planes of their maxima and sums, and of the factors by which what was
# merged, and what a page gives, are multiplied next.


@device
def _begin_row(merged, row, values, n_vectors, sink):
    """Nothing merged yet, or a sink at an address: a score without a value."""
    put_f32(merged + 4 * row, get_f32(sink) if sink != 0 else MINUS_INF)
    put_f32(merged + PLANE + 4 * row, np.float32(1 if sink != 0 else 0))
    for v in range(n_vectors):
        store(values + 64 * v, splat(np.float32(0)))


@device
def _sink(sinks, head):
    """The address of a head's sink; 0: there is none."""
    return sinks + 4 * head if sinks != 0 else 0


@device
def _merge_states(merged, maxima, sums, n_rows):
    """Merge what a page gives of n rows, 16 of them at a time, but for their values."""
    for at in range(0, 4 * n_rows, 64):
        old, new = load(merged + at), load(maxima + at)
        top = maximum(old, new)
        a, b = exp_below_0(sub(old, top)), exp_below_0(sub(new, top))
        store(merged + at, top)
        total = add(mul(load(merged + PLANE + at), a), mul(load(sums + at), b))
        store(merged + PLANE + at, total)
        store(merged + 2 * PLANE + at, a)
        store(merged + 3 * PLANE + at, b)


@device
def _merge_values(merged, row, values, page_values, n_vectors):
    """Merge a row's values of a page by the factors that `_merge_states` left."""
    a = splat(get_f32(merged + 2 * PLANE + 4 * row))
    b = splat(get_f32(merged + 3 * PLANE + 4 * row))
    for v in range(n_vectors):
        kept = mul(load(values + 64 * v), a)
        store(values + 64 * v, fma(load(page_values + 64 * v), b, kept))


@device
def put_partial(partial, states, values, n_rows, dv):
    """Keep what a page gives n rows: the maxima, the sums, then the values."""
    sums = partial + 4 * n_rows
    for at in range(0, 4 * n_rows, 4):
        put_f32(partial + at, get_f32(states + at))
        put_f32(sums + at, get_f32(states + PLANE + at))
    for v in range(n_rows * dv // 16):
        store(partial + 8 * n_rows + 64 * v, load(values + 64 * v))


@device
def _merge_partial(merged, values, partial, row, n, n_rows, row_nbytes, n_vectors):
    """Merge a partial of n_rows rows, of which n from `row` on are meant."""
    maxima, given = partial + 4 * row, partial + 8 * n_rows + row * row_nbytes
    _merge_states(merged, maxima, maxima + 4 * n_rows, n)
    for i in range(n):
        at = i * row_nbytes
        _merge_values(merged, i, values + at, given + at, n_vectors)


@device
def _sees(position, page, window):
    """Whether a query sees anything of a page."""
    n_seen = position + 1 - page * PAGE
    return n_seen > 0 and n_seen - window < PAGE


@device
def first_page(position, window):
    """The first page that a query sees anything of."""
    return max(position + 1 - window, 0) // PAGE


@device
def _ahead(pages, page, end):
    """Bytes from a page to the next one before `end`, which is asked for meanwhile; 0: none."""
    at = pages + 8 * page
    return get_i64(at + 8) - get_i64(at) if page + 1 < end else 0


@device
def _finish_row(merged, row, values, out, d):
    """out = values / sum, d floats."""
    total = splat(get_f32(merged + PLANE + 4 * row))
    for v in range((d + 15) // 16):
        normal = div(load(values + 64 * v), total)
        if d - 16 * v >= 16:
            store(out + 64 * v, normal)
        else:
            store(values + 64 * v, normal)
            for i in range(16 * v, d):
                put_f32(out + 4 * i, get_f32(values + 4 * i))


def _vectors(n: int, most: int) -> int:
    """Vectors of values at a time: the most that go into a row of n."""
    return next(at_once for at_once in range(max(most, 1), 0, -1) if n % at_once == 0)


def tile(kv_type: str, dv: int) -> tuple[int, int, int, int, int]:
    """Vectors of scores at a time, of values, of a lone row's, and rows of either tile.

    A vector of 4-bit values is two of sums.
    """
    isa, n_sums = target.current(), 2 if KV_TYPES[kv_type] == 4 else 1
    vectors, rows, fewer = isa.codes_tile if is_coded(kv_type) else isa.attention_tile
    n = dv // 16 // n_sums
    lone = max(_SINGLE, 2 * vectors)  # a whole row of values at once is read from front to back
    return vectors, _vectors(n, vectors // n_sums), _vectors(n, lone // n_sums), rows, fewer


def suffix(cap: float, latent: int) -> str:
    """What the names of kernels with a soft cap, or of compressed keys, end with."""
    of_cap = f"_{np.float32(cap).view(np.int32):x}" if cap else ""
    return of_cap + (f"_of_{latent}" if latent else "")


def of_type(kv_type: str, latent: int) -> tuple[Callable[..., None], Callable[..., None], int]:
    """The one place where types differ: how queries are taken, what a page gives, and its size.

    That is the bytes of a number, or the bits of a code.
    """
    if is_coded(kv_type):
        return take_query_codes, attend_codes, KV_TYPES[kv_type]
    if latent:
        return take_latent_queries, attend_latents, KV_TYPES[kv_type] // 8
    return take_queries, attend_page, KV_TYPES[kv_type] // 8


# --- kernels ----------------------------------------------------------------------------------
# A query sees `window` positions, its own included; NO_WINDOW: all before it. Scores become
# cap tanh(score / cap), but for a cap of 0. `latent`: how many features of a key are its value too;
# 0: values are of their own.


@kernel_maker
def attention_kernel(
    kv_type: str, head_dim: int, value_dim: int, group: int, cap: float = 0.0, latent: int = 0
) -> Kernel:
    """Attention of one KV head and a block of queries of one sequence.

    Arguments: q (the first query's heads of this group), q_stride (bytes from one query to the
    next), n_queries, position (of the first query), window, pages (address of the sequence's page
    addresses), head_at (byte offset of layer and head in a page), out (as q), out_stride, scratch,
    sinks (of the group's heads; 0: none), given (the partial before the first page; 0: none).
    """
    D, DV, GROUP, OUT = head_dim, value_dim, group, latent or head_dim
    QUERY, ROW = 4 * padded_dim(D), 4 * DV  # bytes of a row of queries, of values
    SCALE, CAP = np.float32(1.0 / np.sqrt(D)), np.float32(cap) if cap else None
    N, ROTATED = DV // 16, int(is_coded(kv_type))
    VECTORS, PV, SINGLE, ROWS, FEWER = tile(kv_type, DV)
    take, page_gives, SIZE = of_type(kv_type, latent)

    def attend(q, q_stride, n_queries, position, window, pages, head_at, out, out_stride, scratch,
               sinks, given):  # fmt: skip
        n_rows = n_queries * GROUP
        weights = scratch
        queries = weights + MAX_ROWS * WEIGHTS
        page_values = queries + MAX_ROWS * QUERY
        values = page_values + MAX_ROWS * ROW
        states = values + MAX_ROWS * ROW
        merged = states + PAGE_STATES
        take(q, q_stride, n_rows, queries, D, DV, GROUP, SCALE, SIZE)
        for row in range(n_rows):
            _begin_row(merged, row, values + row * ROW, N, _sink(sinks, row % GROUP))
        if given != 0:
            _merge_partial(merged, values, given, 0, n_rows, n_rows, ROW, N)
        end = (position + n_queries - 1) // PAGE + 1
        for page in range(first_page(position, window), end):
            keys = get_i64(pages + 8 * page) + head_at
            page_gives(queries, states, keys, _ahead(pages, page, end),
                       position + 1 - page * PAGE, window, n_rows, weights, page_values, D, DV,
                       SIZE, GROUP, VECTORS, PV, SINGLE, ROWS, FEWER, CAP)  # fmt: skip
            _merge_states(merged, states, states + PLANE, n_rows)
            for row in range(n_rows):
                if _sees(position + row // GROUP, page, window):
                    _merge_values(merged, row, values + row * ROW, page_values + row * ROW, N)
        for row in range(n_rows):
            to = out + row // GROUP * out_stride + row % GROUP * OUT * 4
            _finish_row(merged, row, values + row * ROW, to, OUT)
            if ROTATED:
                rotate_head(to, D)

    return Kernel(attend, f"attention_{kv_type}_{head_dim}_{group}{suffix(cap, latent)}")


@kernel_maker
def pages_kernel(
    kv_type: str, head_dim: int, value_dim: int, group: int, cap: float = 0.0, latent: int = 0
) -> Kernel:
    """What pages begin .. end give for a block of queries and one KV head.

    Arguments: q .. head_at as above, begin, end, partials (where the one of page 0 would lie: the
    states of all rows, then their values), stride (bytes from one page's to the next), scratch.
    """
    D, DV, GROUP, QUERY = head_dim, value_dim, group, 4 * padded_dim(head_dim)
    SCALE, CAP = np.float32(1.0 / np.sqrt(D)), np.float32(cap) if cap else None
    VECTORS, PV, SINGLE, ROWS, FEWER = tile(kv_type, DV)
    take, page_gives, SIZE = of_type(kv_type, latent)

    def attend_pages(q, q_stride, n_queries, position, window, pages, head_at, begin, end,
                     partials, stride, scratch):  # fmt: skip
        n_rows = n_queries * GROUP
        weights = scratch
        queries = weights + MAX_ROWS * WEIGHTS
        values = queries + MAX_ROWS * QUERY
        states = values + MAX_ROWS * DV * 4
        take(q, q_stride, n_rows, queries, D, DV, GROUP, SCALE, SIZE)
        for page in range(max(begin, first_page(position, window)), end):
            keys = get_i64(pages + 8 * page) + head_at
            page_gives(queries, states, keys, _ahead(pages, page, end),
                       position + 1 - page * PAGE, window, n_rows, weights, values, D, DV,
                       SIZE, GROUP, VECTORS, PV, SINGLE, ROWS, FEWER, CAP)  # fmt: skip
            put_partial(partials + page * stride, states, values, n_rows, DV)

    return Kernel(attend_pages, f"pages_{kv_type}_{head_dim}_{group}{suffix(cap, latent)}")


@kernel_maker
def merge_kernel(
    kv_type: str, head_dim: int, value_dim: int, group: int, latent: int = 0
) -> Kernel:
    """A query's attention from the partials of its block's pages.

    Arguments: query (which one of the block's), n_queries, position (of the first one), window,
    partials and stride as above, out (the query's heads), sinks and given as above.
    """
    OUT, GROUP, N, ROW = latent or head_dim, group, value_dim // 16, value_dim * 4
    ROTATED, AT_ONCE = int(is_coded(kv_type)), min(group, 16)
    VALUES = AT_ONCE * ROW

    def merge(query, n_queries, position, window, partials, stride, out, sinks, given):
        values, merged = stack(VALUES), stack(MERGED_STATES)
        mine, n_rows = position + query, n_queries * GROUP
        for head in range(0, GROUP, AT_ONCE):
            row, n = query * GROUP + head, min(GROUP - head, AT_ONCE)
            for i in range(n):
                _begin_row(merged, i, values + i * ROW, N, _sink(sinks, head + i))
            if given != 0:
                _merge_partial(merged, values, given, row, n, n_rows, ROW, N)
            for page in range(first_page(mine, window), mine // PAGE + 1):
                _merge_partial(merged, values, partials + page * stride, row, n, n_rows, ROW, N)
            for i in range(n):
                to = out + (head + i) * OUT * 4
                _finish_row(merged, i, values + i * ROW, to, OUT)
                if ROTATED:
                    rotate_head(to, OUT)

    return Kernel(merge, f"merge_{'codes_' * ROTATED}{OUT}_{group}")
