"""Stages of attention: rotary embedding with the append to the cache, and the attention itself.

A single token's heads need nothing of each other, so that each is rotated and appended where it is
attended to. Where a step's tokens have too few heads for the threads, their pages are dealt out
instead, and what they give is merged.
"""

from __future__ import annotations

from halfbyte.kernels.compiler.jit import device
from halfbyte.kernels.layouts.kv_pages import PAGE
from halfbyte.kernels.pool import share
from halfbyte.kernels.stages.attention import NO_WINDOW, first_page
from halfbyte.kernels.stages.record import ATTENTION, BLOCK, STEP
from halfbyte.kernels.vectors.calls import call
from halfbyte.kernels.vectors.scalars import get_i64

_BLOCK_NBYTES = 8 * len(BLOCK)


@device
def n_rope_chunks(stage, step):
    """A chunk is a KV head of a token; none where attention does it along the way."""
    n_tokens = get_i64(step + STEP.n_tokens)
    if n_tokens == 1 and get_i64(step + STEP.n_splits) == 1:
        return 0
    return n_tokens * get_i64(stage + ATTENTION.n_kv_heads)


@device
def rope_append(stage, step, chunk):
    """q, k = rope(q, k); k and v go to the cache."""
    n_kv_heads = get_i64(stage + ATTENTION.n_kv_heads)
    row, head = chunk // n_kv_heads, chunk % n_kv_heads
    position = get_i64(get_i64(step + STEP.positions) + 8 * row)
    pages = get_i64(get_i64(step + STEP.pages) + 16 * row + get_i64(stage + ATTENTION.table_at))
    _rope_append(stage, step, row, head, position, pages)


@device(keeps_constants=False)
def _rope_append(stage, step, row, head, position, pages):
    """The query heads that share a KV head, and this: rotation, and what is before; cache."""
    nbytes = 4 * get_i64(stage + ATTENTION.head_dim)
    group = get_i64(stage + ATTENTION.group)
    qkv = get_i64(stage + ATTENTION.qkv) + row * get_i64(stage + ATTENTION.qkv_stride)
    q = qkv + head * group * nbytes
    k = qkv + get_i64(stage + ATTENTION.k_at) + head * nbytes
    v = qkv + get_i64(stage + ATTENTION.v_at) + head * nbytes
    table = get_i64(get_i64(step + STEP.rope_rows) + 8 * row)
    if get_i64(stage + ATTENTION.prepare_heads) != 0:
        call(get_i64(stage + ATTENTION.prepare_heads), stage, q, k, v, head, table)
    if _is_far(stage, position):
        call(get_i64(stage + ATTENTION.rotate_far), stage, q, _far_queries(stage, row, head),
             get_i64(step + STEP.far_rope_row) + get_i64(stage + ATTENTION.rope_at))  # fmt: skip
    call(get_i64(stage + ATTENTION.rope_append), q, k, v,
         table + get_i64(stage + ATTENTION.rope_at), get_i64(stage + ATTENTION.n_rotated), position,
         get_i64(pages + position // PAGE * 8) + _head_at(stage, head))  # fmt: skip


# --- the first positions, from far behind them ------------------------------------------------


@device
def _is_far(stage, position):
    """Whether a query sees first positions beside its window."""
    n_exact = get_i64(stage + ATTENTION.n_exact)
    return get_i64(stage + ATTENTION.n_first) != 0 and position >= n_exact


@device
def _window(stage, position):
    """The window of a query: it begins once there are positions between it and the first ones."""
    if position < get_i64(stage + ATTENTION.n_exact):
        return NO_WINDOW
    return get_i64(stage + ATTENTION.window)


@device(keeps_constants=False)
def _far_queries(stage, row, head):
    """Where these lie."""
    far = get_i64(stage + ATTENTION.far) + row * get_i64(stage + ATTENTION.far_stride)
    return far + head * _queries_nbytes(stage)


@device
def _attend_first(stage, step, block, head, given):
    """What the first positions give for a block of queries."""
    call(get_i64(stage + ATTENTION.attend_first),
         _far_queries(stage, get_i64(block + BLOCK.row), head),
         get_i64(stage + ATTENTION.far_stride), get_i64(block + BLOCK.n_queries),
         get_i64(stage + ATTENTION.n_first), get_i64(_pages(stage, block)) + _head_at(stage, head),
         given, get_i64(step + STEP.work))  # fmt: skip


# --- attention --------------------------------------------------------------------------------


@device
def n_attention_chunks(stage, step):
    """A chunk is a KV head of a block of queries."""
    if get_i64(step + STEP.n_splits) > 1:
        return 0
    return get_i64(step + STEP.n_blocks) * get_i64(stage + ATTENTION.n_kv_heads)


@device
def attend(stage, step, chunk):
    """attended = softmax(q k / sqrt(d)) v."""
    n_kv_heads = get_i64(stage + ATTENTION.n_kv_heads)
    head, block = chunk % n_kv_heads, chunk // n_kv_heads * _BLOCK_NBYTES
    block += get_i64(step + STEP.blocks)
    row, position = get_i64(block + BLOCK.row), get_i64(block + BLOCK.position)
    pages = _pages(stage, block)
    if get_i64(step + STEP.n_tokens) == 1 and get_i64(stage + ATTENTION.rope_append) != 0:
        _rope_append(stage, step, 0, head, position, pages)
    given = 0
    if _is_far(stage, position):
        given = get_i64(step + STEP.work) + get_i64(stage + ATTENTION.given_at)
        _attend_first(stage, step, block, head, given)
    q_stride, out_stride = (
        get_i64(stage + ATTENTION.qkv_stride), get_i64(stage + ATTENTION.out_stride)
    )  # fmt: skip
    call(get_i64(stage + ATTENTION.attend),
         get_i64(stage + ATTENTION.qkv) + row * q_stride + head * _queries_nbytes(stage), q_stride,
         get_i64(block + BLOCK.n_queries), position, _window(stage, position), pages,
         _head_at(stage, head),
         get_i64(stage + ATTENTION.out) + row * out_stride
         + head * get_i64(stage + ATTENTION.out_nbytes), out_stride,
         get_i64(step + STEP.work), _sinks(stage, head), given)  # fmt: skip


@device
def n_page_chunks(stage, step):
    """A chunk is a KV head of a block of queries, and some of its pages."""
    n_splits = get_i64(step + STEP.n_splits)
    if n_splits == 1:
        return 0
    return get_i64(step + STEP.n_blocks) * n_splits * get_i64(stage + ATTENTION.n_kv_heads)


@device
def attend_pages(stage, step, chunk):
    """What some of the pages give, into memory."""
    n_kv_heads, n_splits = get_i64(stage + ATTENTION.n_kv_heads), get_i64(step + STEP.n_splits)
    head, split = chunk % n_kv_heads, chunk // n_kv_heads % n_splits
    block = get_i64(step + STEP.blocks) + chunk // (n_kv_heads * n_splits) * _BLOCK_NBYTES
    n_queries, position = get_i64(block + BLOCK.n_queries), get_i64(block + BLOCK.position)
    window, q_stride = _window(stage, position), get_i64(stage + ATTENTION.qkv_stride)
    first = first_page(position, window)
    n_pages = (position + n_queries - 1) // PAGE + 1 - first
    nbytes = n_queries * get_i64(stage + ATTENTION.partial_nbytes)
    partials = get_i64(block + BLOCK.partials) + head * nbytes
    if split == 0 and _is_far(stage, position):  # as if by a page before the first one
        given = partials + (first - 1) * n_kv_heads * nbytes
        _attend_first(stage, step, block, head, given)
    call(get_i64(stage + ATTENTION.attend_pages),
         get_i64(stage + ATTENTION.qkv) + get_i64(block + BLOCK.row) * q_stride
         + head * _queries_nbytes(stage), q_stride, n_queries, position, window,
         _pages(stage, block), _head_at(stage, head),
         first + share(split, n_splits, n_pages),
         first + share(split + 1, n_splits, n_pages),
         partials, n_kv_heads * nbytes, get_i64(step + STEP.work))  # fmt: skip


@device
def n_merge_chunks(stage, step):
    """A chunk is a KV head of a token."""
    if get_i64(step + STEP.n_splits) == 1:
        return 0
    return get_i64(step + STEP.n_tokens) * get_i64(stage + ATTENTION.n_kv_heads)


@device
def merge_pages(stage, step, chunk):
    """attended = what the pages gave, merged in their order."""
    n_kv_heads = get_i64(stage + ATTENTION.n_kv_heads)
    row, head = chunk // n_kv_heads, chunk % n_kv_heads
    block = get_i64(step + STEP.blocks)
    while not 0 <= row - get_i64(block + BLOCK.row) < get_i64(block + BLOCK.n_queries):
        block += _BLOCK_NBYTES
    n_queries = get_i64(block + BLOCK.n_queries)
    position = get_i64(block + BLOCK.position)
    window = _window(stage, position)
    stride = n_kv_heads * n_queries * get_i64(stage + ATTENTION.partial_nbytes)
    partials = get_i64(block + BLOCK.partials) + head * stride // n_kv_heads
    given = 0
    if _is_far(stage, position):
        given = partials + (first_page(position, window) - 1) * stride
    call(get_i64(stage + ATTENTION.merge_pages),
         row - get_i64(block + BLOCK.row), n_queries, position, window, partials, stride,
         get_i64(stage + ATTENTION.out) + row * get_i64(stage + ATTENTION.out_stride)
         + head * get_i64(stage + ATTENTION.out_nbytes), _sinks(stage, head), given)  # fmt: skip


@device
def _pages(stage, block):
    """The addresses of a block of queries' pages, as the layer has them."""
    return get_i64(block + BLOCK.pages + get_i64(stage + ATTENTION.table_at))


@device
def _queries_nbytes(stage):
    """Bytes of the query heads that share a KV head."""
    return 4 * get_i64(stage + ATTENTION.group) * get_i64(stage + ATTENTION.head_dim)


@device
def _sinks(stage, head):
    """The sinks of the query heads that share a KV head; 0: there are none."""
    sinks = get_i64(stage + ATTENTION.sinks)
    return sinks + 4 * head * get_i64(stage + ATTENTION.group) if sinks != 0 else 0


@device
def _head_at(stage, head):
    """Where a KV head of this layer lies in a page."""
    return get_i64(stage + ATTENTION.layer_at) + head * get_i64(stage + ATTENTION.head_nbytes)
