"""The line of requests whose prompts wait: who is next, so that callers are served fairly.

Each request has a tag: the time at which it would be done if all callers that wait were served at
once, each with an equal share (times its priority). Serving the smallest tag first lets nobody be
done later than under equal shares, up to a step, and most much earlier; a short prompt goes before
the rest of a long one, and no stream of short ones keeps a long one waiting, since time goes on and
its tag stays. One caller's requests stand behind each other: a list of a thousand prompts is one
caller.

Time is counted in tokens that each of the waiting callers would have got: it passes slower, the
more there are.
Source: Demers, Keshav and Shenker, "Analysis and Simulation of a Fair Queueing Algorithm" (1989).
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Collection

from halfbyte.generation.request import Caller, Request

_ROUNDING = 1e-6  # of sums of tokens


class Line:
    """Requests that do not run, in the order of their tags."""

    def __init__(self) -> None:
        self._heap: list[tuple[tuple[float, int], Request]] = []
        self._now = 0.0
        self._served: set[Caller] = set()  # who would be, at this time, under equal shares
        self._numbers, self._entries = itertools.count(), itertools.count()

    def __len__(self) -> int:
        return len(self._heap)

    def enter(self, request: Request, n_known: int = 0) -> None:
        """Stand in line, behind the caller's other requests; n_known tokens are known already."""
        call = request.call
        request.n_due = request.n_wanted - n_known
        call.tag = max(self._now, call.tag) + request.n_due / call.terms.priority
        self._served.add(call)
        request.tag = call.tag, next(self._numbers)
        self.put_back(request)

    def put_back(self, request: Request) -> None:
        """Stand in line again, where it stood."""
        request.entered = next(self._entries)
        heapq.heappush(self._heap, (request.tag, request))

    @property
    def first(self) -> Request | None:
        """Who is next."""
        return self._heap[0][1] if self._heap else None

    def first_but_of(self, calls: Collection[Caller]) -> Request | None:
        """Who is next of all other callers."""
        return min((item for item in self._heap if item[1].call not in calls), default=(0, None))[1]

    def longest_but_of(self, calls: Collection[Caller]) -> Request | None:
        """Who of all other callers has stood here longest."""
        others = (request for _, request in self._heap if request.call not in calls)
        return min(others, key=lambda request: request.entered, default=None)

    def last_with_memory(self) -> Request | None:
        """The last of those of whom something is computed."""
        holding = (item for item in self._heap if item[1].sequence is not None)
        return max(holding, default=(0, None))[1]

    def leave(self, request: Request | None = None) -> Request:
        """Take one out, or the first."""
        if request is None or request is self.first:
            return heapq.heappop(self._heap)[1]
        self._heap.remove((request.tag, request))
        heapq.heapify(self._heap)
        return request

    def remove_unwanted(self) -> list[Request]:
        """Take out whoever was cancelled."""
        out = [request for _, request in self._heap if not request.needs_work]
        if out:
            self._heap = [item for item in self._heap if item[1].needs_work]
            heapq.heapify(self._heap)
        return out

    def go_on(self, n_tokens: float) -> None:
        """So many tokens of prompts were computed: time passes as if for all at once."""
        while self._retire() and n_tokens > 0:
            end = min(call.tag for call in self._served)
            share = sum(call.terms.priority for call in self._served)
            step = min((end - self._now) * share, n_tokens)
            self._now = end if step < n_tokens else self._now + step / share
            n_tokens -= step

    def settle(self, request: Request) -> None:
        """Its prompt is computed, or never will be: what its tag counted on beyond is not due."""
        request.call.tag -= request.n_due / request.call.terms.priority
        request.n_due = 0

    def rest(self) -> None:
        """Nobody waits, and nobody would under equal shares."""
        self._served.clear()

    def _retire(self) -> set[Caller]:
        """Who would still be served."""
        self._served = {call for call in self._served if call.tag > self._now + _ROUNDING}
        return self._served
