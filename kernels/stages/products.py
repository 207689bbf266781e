"""Stages that multiply by matrices: projections, and the feed-forward network's first half.

A chunk is some strips (32 rows) of the matrices, which lie side by side in the result.
"""

from __future__ import annotations

from halfbyte.kernels.compiler.jit import device
from halfbyte.kernels.layouts.activations import put_block
from halfbyte.kernels.pool import share
from halfbyte.kernels.stages.record import (
    FEED_FORWARD,
    INPUT,
    MATRIX,
    MATRIX_NBYTES,
    PRODUCT,
    PROJECT,
    STEP,
)
from halfbyte.kernels.stages.rows import floats_of, n_rows, records_of
from halfbyte.kernels.vectors.calls import call
from halfbyte.kernels.vectors.scalars import get_i64
from halfbyte.kernels.vectors.simd import add, load, store

STRIP_NBYTES = 128  # of a row of results
# Rows of strips, while ffn_gate is read, before ffn_up is: a single token's matrices come in runs.
_ROWS_AT_ONCE = 32
_MOST_STRIPS = 512  # of a single row that a thread's `work` has room for


@device
def n_product_chunks(stage, step):
    """Into how many chunks the strips of a stage are dealt."""
    if n_rows(stage, step) == 0:
        return 0
    return min(get_i64(stage + PRODUCT.n_strips), get_i64(step + STEP.max_chunks))


@device
def _strips(stage, step, chunk, n_chunks):
    """First and last strip of a chunk.

    Chunks that lie side by side are dealt n_runs apart, so that threads which take them in turns
    each go through memory in one run.
    """
    n_runs, n_strips = get_i64(step + STEP.n_runs), get_i64(stage + PRODUCT.n_strips)
    run = chunk % n_runs
    place = run * (n_chunks // n_runs) + min(run, n_chunks % n_runs) + chunk // n_runs
    return share(place, n_chunks, n_strips), share(place + 1, n_chunks, n_strips)


# --- a single row's chunks, which may be made twice: first in `work`, then where all see them -----


@device
def is_repeatable(stage, step, n_chunks):
    """Whether a stage's chunks are made by `make` and `publish` in this step: a single row's."""
    op = get_i64(stage)
    if (op != PROJECT and op != FEED_FORWARD) or n_rows(stage, step) != 1:
        return False
    most = _ROWS_AT_ONCE if op == FEED_FORWARD else _MOST_STRIPS
    fits = get_i64(stage + PRODUCT.n_strips) <= n_chunks * most
    return fits and get_i64(stage + PRODUCT.expand) == 0


@device
def make(stage, step, chunk, n_chunks):
    """A chunk's products in `work`, with what becomes of each alone."""
    begin, end = _strips(stage, step, chunk, n_chunks)
    if get_i64(stage) == FEED_FORWARD:
        _make_hidden(stage, step, begin, end)
        return
    matrices, at = get_i64(stage + PRODUCT.matrices), 0
    for i in range(get_i64(stage + PRODUCT.n_matrices)):
        strips = get_i64(matrices + i * MATRIX_NBYTES + MATRIX.n_panels) // 2
        first, last = max(begin - at, 0), min(end - at, strips)
        if first < last:
            y = get_i64(step + STEP.work) + (at - begin) * STRIP_NBYTES
            _project(stage, step, i, first, last, y, 0, 0)
        at += strips


@device
def publish(stage, step, chunk, n_chunks):
    """What `make` left in `work`, to where the next stages read it."""
    work, (begin, end) = get_i64(step + STEP.work), _strips(stage, step, chunk, n_chunks)
    y = get_i64(stage + PRODUCT.y)
    if get_i64(stage) == FEED_FORWARD:
        for strip in range(begin, end):
            _put_hidden(stage, step, work + (strip - begin) * STRIP_NBYTES, 0, strip)
        return
    if y == 0:
        y = get_i64(step + STEP.logits)
    for at in range(0, (end - begin) * STRIP_NBYTES, 64):
        to = y + begin * STRIP_NBYTES + at
        v = load(work + at)
        if get_i64(stage + PRODUCT.adds) != 0:
            v = add(load(to), v)
        store(to, v)


# --- any number of rows ---------------------------------------------------------------------------


@device
def project(stage, step, chunk, n_chunks):
    """y = W x of all matrices, side by side, or y += W x."""
    begin, end = _strips(stage, step, chunk, n_chunks)
    y, y_stride = get_i64(stage + PRODUCT.y), get_i64(stage + PRODUCT.y_stride)
    if y == 0:  # the logits, which every step has anew
        y, y_stride = get_i64(step + STEP.logits), get_i64(step + STEP.logits_stride)
    matrices, at = get_i64(stage + PRODUCT.matrices), 0
    for i in range(get_i64(stage + PRODUCT.n_matrices)):
        strips = get_i64(matrices + i * MATRIX_NBYTES + MATRIX.n_panels) // 2
        first, last = max(begin - at, 0), min(end - at, strips)
        if first < last:
            _project(stage, step, i, first, last, y + at * STRIP_NBYTES, y_stride,
                     get_i64(stage + PRODUCT.adds))  # fmt: skip
        at += strips


@device(keeps_constants=False)
def _project(stage, step, i, begin, end, y, y_stride, adds):
    """Strips of y = W x, or of y += W x, of one of the matrices."""
    if get_i64(stage + PRODUCT.finish) != 0:
        call(get_i64(stage + PRODUCT.finish), stage, step, i, begin, end, y, y_stride, adds)
        return
    multiply(get_i64(stage + PRODUCT.matrices) + i * MATRIX_NBYTES, begin, end,
             records_of(stage, step), floats_of(stage, step), get_i64(stage + INPUT.floats_stride),
             n_rows(stage, step), y, y_stride, adds)  # fmt: skip
    expand(stage, step, i, begin, end, y, y_stride)


@device(keeps_constants=False)
def expand(stage, step, i, begin, end, y, y_stride):
    """What adapters add to strips of one of the matrices, where the program has them."""
    if get_i64(stage + PRODUCT.expand) != 0:
        call(get_i64(stage + PRODUCT.expand), stage, step, i, begin, end, y, y_stride)


@device(keeps_constants=False)
def add_bias(stage, i, strip, at):
    """A row's strip at `at` += the bias of matrix i."""
    biases = get_i64(stage + PRODUCT.biases)
    if biases != 0:
        bias = get_i64(biases + 8 * i) + strip * STRIP_NBYTES
        store(at, add(load(at), load(bias)))
        store(at + 64, add(load(at + 64), load(bias + 64)))


@device
def feed_forward(stage, step, chunk, n_chunks):
    """hidden = activation(ffn_gate x) * (ffn_up x), a strip (a block of records) at a time."""
    n, (begin, end) = n_rows(stage, step), _strips(stage, step, chunk, n_chunks)
    at_once = max(_ROWS_AT_ONCE // n, 1)
    for first in range(begin, end, at_once):
        last = min(first + at_once, end)
        _make_hidden(stage, step, first, last)
        width = (last - first) * STRIP_NBYTES
        for strip in range(first, last):
            at = get_i64(step + STEP.work) + (strip - first) * STRIP_NBYTES
            for row in range(n_rows(stage, step)):
                _put_hidden(stage, step, at + row * width, row, strip)


@device
def _make_hidden(stage, step, first, last):
    """Some strips of all rows, in `work`: ffn_gate's in a row, then ffn_up's, as matrices lie."""
    n, n_matrices = n_rows(stage, step), get_i64(stage + PRODUCT.n_matrices)
    floats, records = floats_of(stage, step), records_of(stage, step)
    floats_stride = get_i64(stage + INPUT.floats_stride)
    matrices = get_i64(stage + PRODUCT.matrices)
    gate, width = get_i64(step + STEP.work), (last - first) * STRIP_NBYTES
    for i in range(n_matrices):
        y = gate + i * n * width - first * STRIP_NBYTES
        multiply(matrices + i * MATRIX_NBYTES, first, last, records, floats, floats_stride, n, y,
                 width, 0)  # fmt: skip
        expand(stage, step, i, first, last, y, width)
    if get_i64(stage + PRODUCT.biases) != 0:
        for i in range(n_matrices):
            for row in range(n):
                at = gate + (i * n + row) * width
                for strip in range(first, last):
                    add_bias(stage, i, strip, at + (strip - first) * STRIP_NBYTES)
    up = gate + n * width if n_matrices == 2 else 0
    call(get_i64(stage + PRODUCT.activation), gate, up, n * width, get_i64(stage + PRODUCT.curve))


@device(keeps_constants=False)
def _put_hidden(stage, step, features, row, strip):
    """A row's strip, as the matrix behind takes it."""
    nbytes = get_i64(step + STEP.record_nbytes)
    hidden, hidden_stride = get_i64(stage + PRODUCT.y), get_i64(stage + PRODUCT.y_stride)
    h0, h1 = load(features), load(features + 64)
    if hidden_stride == 0:
        put_block(h0, h1, hidden + (strip * n_rows(stage, step) + row) * nbytes, nbytes)
    else:
        to = hidden + row * hidden_stride + strip * STRIP_NBYTES
        store(to, h0)
        store(to + 64, h1)


@device(keeps_constants=False)
def multiply(matrix, begin, end, records, floats, floats_stride, n, y, y_stride, adds):
    """Strips begin .. end of y = W x for n tokens: many at once, the rest by vectors, few alone.

    A kernel for many takes as long for a few tokens as for all that it has room for.
    """
    n_many = n_vectors = 0
    if get_i64(matrix + MATRIX.many) != 0:
        at_once = get_i64(matrix + MATRIX.many_tokens)
        n_many = min((n + get_i64(matrix + MATRIX.may_lack)) // at_once * at_once, n)
    rest = n - n_many
    if get_i64(matrix + MATRIX.vectors) != 0:
        few = rest % get_i64(matrix + MATRIX.vector_tokens)
        n_vectors = rest - (few if few <= get_i64(matrix + MATRIX.narrow_tokens) else 0)
    token_nbytes = get_i64(matrix + MATRIX.record_nbytes)
    x, x_stride = records, n * token_nbytes
    if token_nbytes == 0:
        x, x_stride, token_nbytes = floats, floats_stride, floats_stride
    _part(matrix, get_i64(matrix + MATRIX.many), begin, end, x, x_stride, n_many, y, y_stride,
          adds)  # fmt: skip
    x, y = x + n_many * token_nbytes, y + n_many * y_stride
    _part(matrix, get_i64(matrix + MATRIX.vectors), begin, end, x, x_stride, n_vectors, y,
          y_stride, adds)  # fmt: skip
    x, y = x + n_vectors * token_nbytes, y + n_vectors * y_stride
    _part(matrix, get_i64(matrix + MATRIX.narrow), begin, end, x, x_stride, rest - n_vectors, y,
          y_stride, adds)  # fmt: skip


@device(keeps_constants=False)
def _part(matrix, kernel, begin, end, x, x_stride, n, y, y_stride, adds):
    if n > 0:
        call(kernel, get_i64(matrix + MATRIX.w), get_i64(matrix + MATRIX.n_panels),
             get_i64(matrix + MATRIX.n_units), begin, end, x, x_stride, n, y, y_stride,
             adds)  # fmt: skip
