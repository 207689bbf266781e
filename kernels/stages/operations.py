"""Every operation that a stage can have: how many chunks it is, and what a chunk does.

An operation of no chunks is left out of a step. Together these are one compiled function, of what
most models have. What fewer need are kernels of their own, so that a first start does not compile
it for all others: they are called through the address in a record.
"""

from __future__ import annotations

from halfbyte.kernels.compiler.jit import device
from halfbyte.kernels.stages import adapt, attend, called, products, record, rows
from halfbyte.kernels.stages.record import PRODUCT, STEP
from halfbyte.kernels.vectors.calls import call
from halfbyte.kernels.vectors.scalars import get_i64


@device
def count_chunks(stage, step):
    """Chunks of a stage in this step."""
    op = get_i64(stage)
    if op == record.EMBED:
        return get_i64(step + STEP.n_tokens)
    if op == record.NORM or op == record.QUANTIZE:
        n = rows.n_rows(stage, step)
        return n if n > 1 else 0  # a single row is made by its users: rows.prepare
    if op == record.PROJECT or op == record.FEED_FORWARD:
        return products.n_product_chunks(stage, step)
    if op == record.ROPE:
        return attend.n_rope_chunks(stage, step)
    if op == record.ATTEND:
        return attend.n_attention_chunks(stage, step)
    if op == record.ATTEND_PAGES:
        return attend.n_page_chunks(stage, step)
    if op == record.MERGE_PAGES:
        return attend.n_merge_chunks(stage, step)
    if op == record.SHRINK:
        return adapt.n_shrink_chunks(stage, step)
    if op == record.CALL:
        return called.n_chunks(stage, step)
    return 0


@device
def prepare(stage, step):
    """What a thread does before its first chunk of a stage."""
    op = get_i64(stage)
    if op == record.PROJECT or op == record.FEED_FORWARD or op == record.CALL:
        rows.prepare(stage, step)
    elif op == record.SHRINK:
        rows.prepare_floats(stage, step)


@device
def run_chunk(stage, step, chunk, n_chunks):
    """Do one chunk."""
    op = get_i64(stage)
    if op == record.EMBED:
        rows.embed(stage, step, chunk)
    elif op == record.NORM:
        rows.norm(stage, step, chunk)
    elif op == record.QUANTIZE:
        rows.quantize(stage, step, chunk)
    elif op == record.PROJECT:
        products.project(stage, step, chunk, n_chunks)
    elif op == record.FEED_FORWARD:
        products.feed_forward(stage, step, chunk, n_chunks)
    elif op == record.ROPE:
        attend.rope_append(stage, step, chunk)
    elif op == record.ATTEND:
        attend.attend(stage, step, chunk)
    elif op == record.ATTEND_PAGES:
        attend.attend_pages(stage, step, chunk)
    elif op == record.MERGE_PAGES:
        attend.merge_pages(stage, step, chunk)
    elif op == record.SHRINK:
        call(get_i64(stage + PRODUCT.shrink), stage, step, chunk, n_chunks)
    elif op == record.CALL:
        called.run(stage, step, chunk, n_chunks)
