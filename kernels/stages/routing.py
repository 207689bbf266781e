"""Which experts a row goes to, and which rows an expert gets.

The router's logits, a row of floats for each token, become scores; the best experts are chosen, of
equal ones the first. Rows are then sorted by expert, within an expert in their own order:

    plan      how many experts have rows, then for each of these, in ascending order:
              (expert, first sorted row, rows)
    ids       i64 [row][used]: the experts of a row, the best first; weights likewise, floats
    rows      i64: for each sorted row, the row that it is; row_weights likewise, floats
    gathered  the inputs of the sorted rows: each expert's records block by block, as products
              read them, or rows of floats

All that a row gets depends on the row alone. Where a logit is no number, all weights of the row are
none either, which reaches its logits and is an error there.

Sources: Shazeer et al., arXiv:1701.06538; groups and biases: DeepSeek-V3, arXiv:2412.19437.
"""

from __future__ import annotations

import numpy as np

from halfbyte.kernels.compiler.jit import device, kernel
from halfbyte.kernels.pool import share
from halfbyte.kernels.stages.record import ACTIVE, ACTIVE_NBYTES, PLAN, ROUTING, STEP
from halfbyte.kernels.stages.rows import n_rows
from halfbyte.kernels.vectors.scalars import get_f32, get_i64, put_f32, put_i64
from halfbyte.kernels.vectors.simd import add, div, first_lane, load, splat, store, sub
from halfbyte.kernels.vectors.vector_math import exp

# How logits become scores. SOFTMAX_OF_USED: the best logits are chosen, then the softmax is theirs.
GATINGS = SOFTMAX, SIGMOID, SOFTMAX_OF_USED = 0, 1, 2
_NEVER = np.float32(-np.inf)
_TINY = np.float32(1e-20)  # that a sum of weights is larger than 0


@kernel
def route(stage, step, chunk, n_chunks):
    """Experts and weights of some rows; a row that is alone is sorted at once."""
    n = n_rows(stage, step)
    for row in range(share(chunk, n_chunks, n), share(chunk + 1, n_chunks, n)):
        _route_row(stage, step, row)
    if n == 1:
        _sort(stage, step, 1)


@kernel
def sort_rows(stage, step, chunk, n_chunks):
    """Sort all rows by expert."""
    _sort(stage, step, n_rows(stage, step))


@device
def _route_row(stage, step, row):
    n, n_used = get_i64(stage + ROUTING.n_experts), get_i64(stage + ROUTING.n_used)
    logits = get_i64(stage + ROUTING.routed) + row * get_i64(stage + ROUTING.routed_stride)
    # Vectors of 16 are read and written beyond the last one.
    scores = get_i64(step + STEP.work)
    wanted = scores + 4 * (n + 32)
    fault, added = np.float32(0), get_i64(stage + ROUTING.logit_bias)
    for e in range(n):
        x = get_f32(logits + 4 * e)
        if added != 0:
            x += get_f32(added + 4 * e)
            put_f32(logits + 4 * e, x)
        fault += x - x  # 0, or NaN
    _score(logits, scores, n, get_i64(stage + ROUTING.gating))
    bias = get_i64(stage + ROUTING.bias)
    for e in range(n):
        x = get_f32(scores + 4 * e)
        if bias != 0:
            x += get_f32(bias + 4 * e)
        put_f32(wanted + 4 * e, x)
    if get_i64(stage + ROUTING.n_groups) > 1:
        _keep_groups(stage, wanted, n)
    plan = get_i64(stage + ROUTING.plan)
    ids = get_i64(plan + PLAN.ids) + 8 * row * n_used
    weights = get_i64(plan + PLAN.weights) + 4 * row * n_used
    for slot in range(n_used):
        e = _best(wanted, n, ids, slot)
        put_i64(ids + 8 * slot, e)
        put_f32(wanted + 4 * e, _NEVER)
        put_f32(weights + 4 * slot, get_f32(scores + 4 * e))
    _weigh(stage, weights, n_used, fault)
    factors = get_i64(stage + ROUTING.factors)
    if factors != 0:
        for slot in range(n_used):
            factor = get_f32(factors + 4 * get_i64(ids + 8 * slot))
            put_f32(weights + 4 * slot, get_f32(weights + 4 * slot) * factor)


@device
def _score(logits, scores, n, gating):
    """Scores of all experts; for SOFTMAX_OF_USED the logits themselves."""
    if gating == SOFTMAX_OF_USED:
        for e in range(n):
            put_f32(scores + 4 * e, get_f32(logits + 4 * e))
    elif gating == SIGMOID:
        one = splat(np.float32(1))
        for e in range(0, n, 16):
            x = exp(sub(splat(np.float32(0)), load(logits + 4 * e)))
            store(scores + 4 * e, div(one, add(one, x)))
    else:
        _softmax(logits, scores, n)


@device
def _softmax(x, out, n):
    """Of n floats, read and written 16 at a time; summed one by one."""
    largest = get_f32(x)
    for i in range(1, n):
        largest = max(largest, get_f32(x + 4 * i))
    for i in range(0, n, 16):
        store(out + 4 * i, exp(sub(load(x + 4 * i), splat(largest))))
    total = np.float32(0)
    for i in range(n):
        total += get_f32(out + 4 * i)
    for i in range(n):
        put_f32(out + 4 * i, get_f32(out + 4 * i) / total)


@device
def _best(wanted, n, ids, n_chosen):
    """The first of the best; where no number is left, the first that is not chosen yet."""
    best, found = _NEVER, -1
    for e in range(n):
        x = get_f32(wanted + 4 * e)
        if x > best:
            best, found = x, e
    e = 0
    while found < 0:
        is_free = True
        for slot in range(n_chosen):
            is_free = is_free and get_i64(ids + 8 * slot) != e
        if is_free:
            found = e
        e += 1
    return found


@device
def _keep_groups(stage, wanted, n):
    """Only experts of the best groups may be chosen: by the sum of a group's best scores."""
    n_groups, n_kept = get_i64(stage + ROUTING.n_groups), get_i64(stage + ROUTING.n_groups_used)
    size, n_best = n // n_groups, get_i64(stage + ROUTING.n_group_best)
    of_groups = wanted + 4 * (n + 32)
    for group in range(n_groups):
        first, second = _NEVER, _NEVER
        for e in range(group * size, (group + 1) * size):
            x = get_f32(wanted + 4 * e)
            if x > first:
                first, second = x, first
            elif x > second:
                second = x
        put_f32(of_groups + 4 * group, first + second if n_best == 2 and size > 1 else first)
    for group in range(n_groups):
        own, n_before = get_f32(of_groups + 4 * group), 0
        for other in range(n_groups):
            x = get_f32(of_groups + 4 * other)
            n_before += int(x > own or (x == own and other < group))
        if n_before >= n_kept:
            for e in range(group * size, (group + 1) * size):
                put_f32(wanted + 4 * e, _NEVER)


@device
def _weigh(stage, weights, n_used, fault):
    """From the scores of a row's experts to their weights."""
    is_softmax = get_i64(stage + ROUTING.gating) == SOFTMAX_OF_USED
    if is_softmax:
        largest = get_f32(weights)
        for slot in range(1, n_used):
            largest = max(largest, get_f32(weights + 4 * slot))
        for slot in range(n_used):
            x = exp(sub(splat(get_f32(weights + 4 * slot)), splat(largest)))
            put_f32(weights + 4 * slot, first_lane(x))
    if is_softmax or get_i64(stage + ROUTING.normalizes) != 0:
        total = _TINY
        for slot in range(n_used):
            total += get_f32(weights + 4 * slot)
        for slot in range(n_used):
            put_f32(weights + 4 * slot, get_f32(weights + 4 * slot) / total)
    scale = get_f32(stage + ROUTING.scale)
    for slot in range(n_used):
        put_f32(weights + 4 * slot, get_f32(weights + 4 * slot) * scale + fault)


@device
def _sort(stage, step, n):
    """Fill in the plan of n rows."""
    n_experts, n_used = get_i64(stage + ROUTING.n_experts), get_i64(stage + ROUTING.n_used)
    plan, ends = get_i64(stage + ROUTING.plan), get_i64(step + STEP.work)
    ids, weights = get_i64(plan + PLAN.ids), get_i64(plan + PLAN.weights)
    for e in range(n_experts):
        put_i64(ends + 8 * e, 0)
    for i in range(n * n_used):
        at = ends + 8 * get_i64(ids + 8 * i)
        put_i64(at, get_i64(at) + 1)
    active, begin = get_i64(plan + PLAN.active), 0
    for e in range(n_experts):
        size = get_i64(ends + 8 * e)
        put_i64(ends + 8 * e, begin)
        if size > 0:
            put_i64(active + ACTIVE.expert, e)
            put_i64(active + ACTIVE.begin, begin)
            put_i64(active + ACTIVE.n, size)
            active += ACTIVE_NBYTES
        begin += size
    put_i64(plan + PLAN.n_active, (active - get_i64(plan + PLAN.active)) // ACTIVE_NBYTES)
    rows, row_weights = get_i64(plan + PLAN.rows), get_i64(plan + PLAN.row_weights)
    for i in range(n * n_used):
        end = ends + 8 * get_i64(ids + 8 * i)
        at = get_i64(end)
        put_i64(end, at + 1)
        put_i64(rows + 8 * at, i // n_used)
        put_f32(row_weights + 4 * at, get_f32(weights + 4 * i))


@kernel
def gather(stage, step, chunk, n_chunks):
    """The inputs of all sorted rows, some blocks of 32 features of them."""
    n, n_blocks = n_rows(stage, step), get_i64(stage + ROUTING.n_blocks)
    plan, stride = get_i64(stage + ROUTING.plan), get_i64(stage + ROUTING.floats_stride)
    records, floats = get_i64(stage + ROUTING.records), get_i64(stage + ROUTING.floats)
    gathered, copies = get_i64(stage + ROUTING.gathered), get_i64(stage + ROUTING.gathered_floats)
    rows, active = get_i64(plan + PLAN.rows), get_i64(plan + PLAN.active)
    nbytes = get_i64(step + STEP.record_nbytes)
    for block in range(share(chunk, n_chunks, n_blocks), share(chunk + 1, n_chunks, n_blocks)):
        for a in range(get_i64(plan + PLAN.n_active)):
            at = active + a * ACTIVE_NBYTES
            begin, size = get_i64(at + ACTIVE.begin), get_i64(at + ACTIVE.n)
            for i in range(begin, begin + size):
                row = get_i64(rows + 8 * i)
                if gathered != 0:
                    to = gathered + (begin * n_blocks + block * size + i - begin) * nbytes
                    _copy(to, records + (block * n + row) * nbytes, nbytes)
                if copies != 0:
                    _copy(copies + i * stride + 128 * block,
                          floats + row * stride + 128 * block, 128)  # fmt: skip


@device
def _copy(to, source, nbytes):
    for at in range(0, nbytes, 8):
        put_i64(to + at, get_i64(source + at))
