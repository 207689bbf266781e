"""The sampler of middles, which editors ask for: end where an end is likely, else what is sure.

Source: llama.cpp, llama_sampler_infill, for its constants and for the order of its steps.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection

import numpy as np

from halfbyte.generation.sampler import F64, I64

_END_WEIGHT = 3.0  # of the ends' probability, times the number of candidates
_LEAST = 0.2  # the probability of a text token that stays


def infill_indices(
    probs: F64, ids: I64, ends: Collection[int], piece_of: Callable[[int], bytes]
) -> I64 | None:
    """Ascending indices of the candidates that stay; None where nothing but an end is left.

    Where the ends together are likely enough, they alone stay. Else of two tokens of which one
    begins the other, the likelier one takes the other's probability; then those text tokens stay
    that have a fifth of it all, and of these those with an equal share of what they and the ends
    have.

    Args:
        probs: of the candidates, of sum 1.
        ids: theirs, ascending.
        ends: tokens that end the text; they always stay.
        piece_of: a token's bytes.
    """
    is_end = np.isin(ids, np.fromiter(ends, np.int64, len(ends)))
    p_end = float(probs[is_end].sum())
    if _END_WEIGHT * p_end * len(ids) > 1.0 - p_end:
        return np.flatnonzero(is_end)
    combined = _combined(probs, [piece_of(int(i)) for i in ids])
    is_kept = is_end | (combined >= _LEAST)
    n_text = int(np.count_nonzero(is_kept & ~is_end))
    if not n_text:
        return None
    shares = combined / combined[is_kept].sum()
    return np.flatnonzero(is_kept & (is_end | (shares >= 1.0 / (n_text + 1))))


def _combined(probs: F64, pieces: list[bytes]) -> F64:
    """Probabilities in which a token has that of those that it begins, or that begin it.

    The likelier of two takes the other's. Tokens are looked at from the likeliest on, as they were
    at first; those with a piece's beginning stand side by side in the order of the pieces.
    """
    probs = probs.copy()
    n = len(probs)
    order = np.argsort(-probs, kind="stable")
    rank = np.empty(n, np.int64)
    rank[order] = np.arange(n)
    by_piece = sorted(range(n), key=pieces.__getitem__)
    in_order = [pieces[i] for i in by_piece]
    is_gone = probs == 0.0
    for first in map(int, order):
        piece = pieces[first]
        if not piece or is_gone[first]:
            continue
        at = begin = bisect_left(in_order, piece)
        while at < n and in_order[at].startswith(piece):
            at += 1
        for other in sorted(by_piece[begin:at], key=rank.__getitem__):
            if other == first or is_gone[other]:
                continue
            larger, smaller = (other, first) if probs[other] > probs[first] else (first, other)
            probs[larger] += probs[smaller]
            probs[smaller], is_gone[smaller] = 0.0, True
            if smaller == first:
                break
    return probs
