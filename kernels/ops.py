"""Jobs that run one kernel of the forward pass alone, to be timed: a stage for each layer's.

Work is dealt to the threads as `step` deals it, so what is measured is what the step has of the
kernel. Arguments are words at an address, as `step`'s are.
"""

from __future__ import annotations

from halfbyte.kernels.compiler.jit import kernel
from halfbyte.kernels.layouts.activations import RECORD_NBYTES, quantize_row, rms_norm_row
from halfbyte.kernels.layouts.kv_pages import PAGE
from halfbyte.kernels.pool import finish, is_current, share, take
from halfbyte.kernels.vectors.calls import (
    call_attention,
    call_matmul,
    call_merge,
    call_pages,
    call_rope_append,
)
from halfbyte.kernels.vectors.scalars import get_f32, get_i64

PRODUCTS = ("matrices", "n", "max_chunks", "x", "x_stride", "n_tokens", "y", "y_stride")
MATRIX = ("kernel", "w", "n_panels", "n_units")
NORMS = ("n", "n_rows", "x", "x_stride", "weight", "dim", "eps", "normed", "records")
ROPES = ("n", "n_tokens", "kernel", "n_kv_heads", "group", "head_dim", "qkv", "qkv_stride",
         "table", "position", "pages", "head_nbytes")  # fmt: skip
ATTENTIONS = ("n", "n_tokens", "kernel", "n_kv_heads", "width", "block", "q", "stride", "position",
              "pages", "head_nbytes", "out", "scratch", "scratch_stride", "n_splits",
              "pages_kernel", "merge_kernel", "partials", "partial_nbytes",
              "first_page")  # fmt: skip


@kernel(4)
def products(pool, stage, args, thread):
    """Products of some matrices, one after another, with the same activations."""
    matrices, n, max_chunks = get_i64(args), get_i64(args + 8), get_i64(args + 16)
    x, x_stride, n_tokens = get_i64(args + 24), get_i64(args + 32), get_i64(args + 40)
    y, y_stride = get_i64(args + 48), get_i64(args + 56)
    if not is_current(pool, stage):
        return
    for i in range(n):
        matrix = matrices + 32 * i
        function, w = get_i64(matrix), get_i64(matrix + 8)
        n_panels, n_units = get_i64(matrix + 16), get_i64(matrix + 24)
        n_chunks = min(n_panels // 2, max_chunks)
        chunk = take(pool, stage, n_chunks)
        while chunk >= 0:
            begin, end = (
                share(chunk, n_chunks, n_panels // 2), share(chunk + 1, n_chunks, n_panels // 2)
            )  # fmt: skip
            call_matmul(function, w, n_panels, n_units, begin, end, x, x_stride, n_tokens, y,
                        y_stride, 0)  # fmt: skip
            finish(pool, stage, n_chunks)
            chunk = take(pool, stage, n_chunks)
        stage += 1


@kernel(4)
def norms(pool, stage, args, thread):
    """RMSNorm of some rows and their records, n times."""
    n, n_rows, x, x_stride = (
        get_i64(args), get_i64(args + 8), get_i64(args + 16), get_i64(args + 24)
    )  # fmt: skip
    weight, dim, eps = get_i64(args + 32), get_i64(args + 40), get_f32(args + 48)
    normed, records = get_i64(args + 56), get_i64(args + 64)
    if not is_current(pool, stage):
        return
    for _ in range(n):
        row = take(pool, stage, n_rows)
        while row >= 0:
            rms_norm_row(x + row * x_stride, weight, dim, eps, normed + row * x_stride)
            quantize_row(normed + row * x_stride, (dim + 31) // 32, records + row * RECORD_NBYTES,
                         n_rows * RECORD_NBYTES)  # fmt: skip
            finish(pool, stage, n_rows)
            row = take(pool, stage, n_rows)
        stage += 1


@kernel(4)
def ropes(pool, stage, args, thread):
    """Queries and keys of all tokens are rotated, keys and values appended, in n layers."""
    n, n_tokens, function = get_i64(args), get_i64(args + 8), get_i64(args + 16)
    n_kv_heads, group, width = get_i64(args + 24), get_i64(args + 32), 4 * get_i64(args + 40)
    qkv, qkv_stride = get_i64(args + 48), get_i64(args + 56)
    table, position = get_i64(args + 64), get_i64(args + 72)
    pages, head_nbytes = get_i64(args + 80), get_i64(args + 88)
    if not is_current(pool, stage):
        return
    n_chunks = n_tokens * n_kv_heads
    for layer in range(n):
        chunk = take(pool, stage, n_chunks)
        while chunk >= 0:
            row, head = chunk // n_kv_heads, chunk % n_kv_heads
            at, here = qkv + row * qkv_stride, position + row
            k = at + (n_kv_heads * group + head) * width
            call_rope_append(function, at + head * group * width, k, k + n_kv_heads * width,
                             table + here * width, here,
                             get_i64(pages + here // PAGE * 8)
                             + (layer * n_kv_heads + head) * head_nbytes)  # fmt: skip
            finish(pool, stage, n_chunks)
            chunk = take(pool, stage, n_chunks)
        stage += 1


@kernel(4)
def attentions(pool, stage, args, thread):
    """Attention of a sequence's tokens from `position` on, in n layers.

    n_splits > 1: of a single token, whose pages are dealt to the threads and then merged.
    """
    n, n_tokens, function = get_i64(args), get_i64(args + 8), get_i64(args + 16)
    n_kv_heads, width, block = get_i64(args + 24), get_i64(args + 32), get_i64(args + 40)
    q, stride, position = get_i64(args + 48), get_i64(args + 56), get_i64(args + 64)
    pages, head_nbytes, out = get_i64(args + 72), get_i64(args + 80), get_i64(args + 88)
    scratch = get_i64(args + 96) + thread * get_i64(args + 104)
    n_splits, of_pages, merge = get_i64(args + 112), get_i64(args + 120), get_i64(args + 128)
    partials, partial_nbytes = get_i64(args + 136), get_i64(args + 144)
    first_page = get_i64(args + 152)
    if not is_current(pool, stage):
        return
    n_blocks, n_pages = (n_tokens + block - 1) // block, position // PAGE + 1 - first_page
    n_chunks = (n_splits if n_splits > 1 else n_blocks) * n_kv_heads
    for layer in range(n):
        chunk = take(pool, stage, n_chunks)
        while chunk >= 0:
            # The last block first, as in the step: it sees the most keys.
            i, head = n_chunks // n_kv_heads - 1 - chunk // n_kv_heads, chunk % n_kv_heads
            head_at = (layer * n_kv_heads + head) * head_nbytes
            if n_splits > 1:
                call_pages(of_pages, q + head * width, position, pages, head_at,
                           first_page + share(i, n_splits, n_pages),
                           first_page + share(i + 1, n_splits, n_pages),
                           partials + head * partial_nbytes, n_kv_heads * partial_nbytes,
                           scratch)  # fmt: skip
            else:
                at = i * block * stride + head * width
                call_attention(function, q + at, stride, min(block, n_tokens - i * block),
                               position + i * block, pages, head_at, out + at, stride,
                               scratch)  # fmt: skip
            finish(pool, stage, n_chunks)
            chunk = take(pool, stage, n_chunks)
        stage += 1
        if n_splits > 1:
            head = take(pool, stage, n_kv_heads)
            while head >= 0:
                call_merge(merge, position, partials + head * partial_nbytes,
                           n_kv_heads * partial_nbytes, out + head * width)  # fmt: skip
                finish(pool, stage, n_kv_heads)
                head = take(pool, stage, n_kv_heads)
            stage += 1
