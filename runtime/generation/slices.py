"""Time slices: how long an answer runs while others, which have no place, wait for one.

A place costs nothing to give up: whoever waits keeps what is computed of it as long as there is
memory. Where there is not, it is computed again, and the slice is the longer for it, so that little
of the time goes into that, whatever is remembered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from halfbyte.generation.request import Caller, Request

SLICE = 32  # tokens of an answer, times its caller's priority
_AGAIN = 4  # tokens that are computed again for each token that a slice is longer


def begin(request: Request) -> None:
    """It gets a place now."""
    request.slice_begin = request.n_said
    n_again = len(request.ids) - request.n_computed - 1 if request.is_answering else 0
    request.n_again = max(n_again, 0)


def most_over(running: Iterable[Request]) -> Request | None:
    """The answer that has run longest beyond its slice; None where none has."""
    over = [request for request in running if request.is_answering and _n_over(request) >= 0]
    return max(over, key=_n_over, default=None)


def newest_of_several(running: Iterable[Request], counts: Counter[Caller]) -> Request | None:
    """The last request of the caller that has the most, if it has several."""
    call, n = counts.most_common(1)[0]
    if n == 1:
        return None
    return max((r for r in running if r.call is call), key=lambda r: r.tag)


def _n_over(request: Request) -> float:
    """How many tokens it has run beyond its slice."""
    length = max(SLICE * request.call.terms.priority, 1.0) + request.n_again / _AGAIN
    return request.n_said - request.slice_begin - length
