"""What the first positions give to queries that are far behind them (attention sinks).

Where a window is asked for, a model sees its first positions beside it, as in training it learned
to put there what attention has no use for (Xiao et al., arXiv:2309.17453). It was not trained to
see them from so far, so queries come here rotated as if no more than the window lay between. These
are queries of their own: all else of attention goes on as in attention.py, which merges what is
given here before all pages.
"""

from __future__ import annotations

import numpy as np

from halfbyte.kernels.compiler.jit import Kernel, kernel_maker
from halfbyte.kernels.layouts.kv_pages import padded_dim
from halfbyte.kernels.stages.attention import NO_WINDOW, of_type, put_partial, suffix, tile
from halfbyte.kernels.stages.attention_page import MAX_ROWS, WEIGHTS


@kernel_maker
def sinks_kernel(
    kv_type: str, head_dim: int, value_dim: int, group: int, cap: float = 0.0, latent: int = 0
) -> Kernel:
    """What the first positions give for a block of queries and one KV head.

    Arguments: q, q_stride, n_queries (as attention_kernel's, rotated for here), n_sinks (positions,
    all of which every query sees), keys (the head's in the first page), given (where what they give
    is kept: attention.put_partial), scratch.
    """
    D, DV, GROUP, QUERY = head_dim, value_dim, group, 4 * padded_dim(head_dim)
    SCALE, CAP = np.float32(1.0 / np.sqrt(D)), np.float32(cap) if cap else None
    VECTORS, PV, SINGLE, ROWS, FEWER = tile(kv_type, DV)
    take, page_gives, SIZE = of_type(kv_type, latent)

    def attend_sinks(q, q_stride, n_queries, n_sinks, keys, given, scratch):
        n_rows = n_queries * GROUP
        weights = scratch
        queries = weights + MAX_ROWS * WEIGHTS
        values = queries + MAX_ROWS * QUERY
        states = values + MAX_ROWS * DV * 4
        take(q, q_stride, n_rows, queries, D, DV, GROUP, SCALE, SIZE)
        # As queries of one position: the next one sees no more.
        page_gives(queries, states, keys, 0, n_sinks, NO_WINDOW, n_rows, weights, values, D, DV,
                   SIZE, MAX_ROWS, VECTORS, PV, SINGLE, ROWS, FEWER, CAP)  # fmt: skip
        put_partial(given, states, values, n_rows, DV)

    return Kernel(attend_sinks, f"sinks_{kv_type}_{head_dim}_{group}{suffix(cap, latent)}")
