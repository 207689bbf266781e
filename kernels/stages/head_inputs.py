"""What becomes of queries, keys and values before they are rotated, in models that have any of it.

Each kernel is compiled alone, and is called for the query heads that share a KV head, and this.
"""

from __future__ import annotations

from halfbyte.kernels.compiler.jit import device, kernel
from halfbyte.kernels.stages.record import ATTENTION
from halfbyte.kernels.stages.rope import norm_head, rotate
from halfbyte.kernels.vectors.scalars import get_f32, get_i64, put_f32


@kernel
def prepare_heads(stage, q, k, v, head, table):
    """Biases, norms, and what queries are multiplied by, at the position that `table` is of."""
    group, width = get_i64(stage + ATTENTION.group), get_i64(stage + ATTENTION.head_dim)
    if get_i64(stage + ATTENTION.q_bias) != 0:
        at = 4 * head * width
        _add_bias(q, get_i64(stage + ATTENTION.q_bias) + group * at, group * width)
        _add_bias(k, get_i64(stage + ATTENTION.k_bias) + at, width)
        _add_bias(v, get_i64(stage + ATTENTION.v_bias) + at, width)
    if get_i64(stage + ATTENTION.copies_keys) != 0:
        _copy_halves(k, v, get_i64(stage + ATTENTION.n_rotated), width)
    if get_i64(stage + ATTENTION.q_norm) != 0:
        eps = get_f32(stage + ATTENTION.eps)
        for i in range(group):
            norm_head(q + 4 * i * width, get_i64(stage + ATTENTION.q_norm), width, eps)
        if get_i64(stage + ATTENTION.k_norm) != 0:
            norm_head(k, get_i64(stage + ATTENTION.k_norm), width, eps)
        if get_i64(stage + ATTENTION.v_norm) != 0:
            norm_head(v, get_i64(stage + ATTENTION.v_norm), width, eps)
    if get_i64(stage + ATTENTION.q_scale_at) != 0:
        factor = get_f32(table + get_i64(stage + ATTENTION.q_scale_at))
        for i in range(group * width):
            put_f32(q + 4 * i, get_f32(q + 4 * i) * factor)


@kernel
def rotate_far(stage, q, far, table):
    """Copies of queries at `far`, rotated for the first positions."""
    group, width = get_i64(stage + ATTENTION.group), get_i64(stage + ATTENTION.head_dim)
    for i in range(group * width):
        put_f32(far + 4 * i, get_f32(q + 4 * i))
    for i in range(group):
        rotate(far + 4 * width * i, table, get_i64(stage + ATTENTION.n_rotated))


@device
def _add_bias(x, bias, n):
    """x += bias, n floats."""
    for i in range(n):
        put_f32(x + 4 * i, get_f32(x + 4 * i) + get_f32(bias + 4 * i))


@device
def _copy_halves(x, to, n_rotated, n):
    """to = the n floats of x, whose rotated ones are neighbours there and halves here."""
    half = n_rotated // 2
    for i in range(half):
        put_f32(to + 4 * i, get_f32(x + 8 * i))
        put_f32(to + 4 * (half + i), get_f32(x + 8 * i + 4))
    for i in range(n_rotated, n):
        put_f32(to + 4 * i, get_f32(x + 4 * i))
