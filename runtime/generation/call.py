"""A call: the requests that somebody makes together and waits for.

The scheduler tells it what comes; the caller's own thread takes the news, calls its callbacks and
raises its errors, so that a slow or failing caller keeps nobody else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any

from halfbyte.errors import EngineError, RequestTimeoutError
from halfbyte.generation.completion import FinishReason
from halfbyte.generation.request import Request
from halfbyte.generation.terms import Terms
from halfbyte.generation.waiting import next_of
from halfbyte.progress import Progress, silent

if TYPE_CHECKING:
    from halfbyte.generation.scheduler import Scheduler

News = tuple[str, int, int] | None  # a progress to be told, or that something came


class Call:
    """Requests on their way; leaving the `with` block gives up those that are not over.

    Attributes:
        requests: in the caller's order.
        terms: how long it may take, and how soon it is to be done.
        tag: where the last of the requests stands in line.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        requests: Sequence[Request],
        terms: Terms,
        progress: Progress = silent,
        *,
        decoded: Callable[[Request], tuple[int, int]] | None = None,
        wants_each: bool = False,
        result: Callable[[FinishReason | None], Any] | None = None,
    ) -> None:
        """A call, not begun.

        Args:
            scheduler: who is to do it.
            requests: what is to be done.
            terms: its terms.
            progress: called with ("prefill", done, total) by the thread that waits.
            decoded: of a request that has gone on, tokens that are decoded of all, and most that
                can be; with it, `progress` is called with ("decode", ...) too.
            wants_each: whether `wait` returns after every step, not only at the end.
            result: what the caller gets of the requests, cut short for a reason where one is
                given; by default all their results, or the only one's.
        """
        self.requests, self.terms, self.tag = requests, terms, 0.0
        self._scheduler, self._progress = scheduler, progress
        self._decoded, self._n_decoded = decoded, 0
        self._wants_each, self._result = wants_each, result
        self._is_late, self._deadline_s = False, terms.deadline_s
        self._news: SimpleQueue[News] = SimpleQueue()
        for request in requests:
            request.call = self

    def __enter__(self) -> Call:
        try:
            self.begin()
        except BaseException:
            self.cancel()
            raise
        return self

    def __exit__(self, kind: object, error: object, traceback: TracebackType | None) -> None:
        self.cancel()

    @property
    def is_over(self) -> bool:
        """Whether nothing will come any more."""
        for request in self.requests:  # asked for each piece: `all` takes five times as long
            if not request.is_over:
                return False
        return True

    def begin(self) -> None:
        """Have it worked on; EngineError where the model is closed or the process was forked."""
        self._scheduler.submit(self.requests)
        if self.terms.deadline_s is not None:
            self._scheduler.end_in_time(self)

    def cancel(self) -> None:
        """Give up what is not over; from any thread, as often as wanted."""
        if not self.is_over:
            self._scheduler.cancel(self.requests)

    def tell(self, request: Request) -> None:
        """Something came of a request, or it is over: the scheduler says so."""
        if self._progress is not silent:
            self._tell_progress(request)
        if request.is_over or self._wants_each:
            self._post(None)

    def ring(self) -> None:
        """See Caller: who waits in a thread looks at once."""

    def follow(self) -> Iterator[None]:
        """Yields whenever something came, and once when all is over.

        Raises:
            RequestTimeoutError: it took too long.
            HalfbyteError: what ended a request.
        """
        while not self.is_over:
            self.wait()
            if not self.is_over:
                yield
        self.finish()
        yield

    def wait(self) -> None:
        """Until there is something new; passes on what was told.

        Raises:
            EngineError: the process was forked meanwhile.
        """
        self.check_process()
        while True:
            self.end_if_late()  # also where there is always something new
            try:
                news = next_of(self._news, self.seconds_left())
                break
            except Empty:
                continue
        self._pass_on(news)

    def check_process(self) -> None:
        """EngineError where the process was forked: its parent computes the answer."""
        self._scheduler.check_process()

    def finish(self) -> None:
        """Pass on what was told.

        Raises:
            RequestTimeoutError: `timeout` ended a request; EngineError: `cancel` did; or else what
                did.
        """
        while not self._news.empty():
            self._pass_on(self._news.get())
        for request in self.requests:
            if request.error is not None:
                raise request.error
        if self._is_late and self.terms.is_answered_late:
            for request in self.requests:
                request.end_early("time")
        if self._is_late and any(not request.finish_reason for request in self.requests):
            assert self.terms.timeout is not None
            make = self._result or self._results
            raise RequestTimeoutError(self.terms.timeout, make("timeout"))
        if any(not request.finish_reason for request in self.requests):
            raise EngineError("the answer was given up before its end", hint="begin anew")

    def seconds_left(self) -> float | None:
        """Seconds of its time that are left; None where there is no limit, or it is over."""
        if self._deadline_s is None or self._is_late or self.is_over:
            return None
        return max(self._deadline_s - time.monotonic(), 0.0)

    def end_if_late(self) -> None:
        """Give up if its time is over; from any thread."""
        if self.seconds_left() == 0:
            self._is_late = True
            self.cancel()

    def _results(self, cut_by: FinishReason | None) -> Any:
        parts = [request.result(cut_by) for request in self.requests]
        return parts[0] if len(parts) == 1 else parts

    def _tell_progress(self, request: Request) -> None:
        n = min(request.n_computed, request.n_prompt)
        if n > request.n_told:
            request.n_told = n
            self._post(("prefill", n, request.n_prompt))
        if self._decoded is not None:
            n, n_most = self._decoded(request)
            if n > self._n_decoded:
                self._n_decoded = n
                self._post(("decode", n, n_most))

    def _pass_on(self, news: News) -> None:
        if news is not None:
            self._progress(*news)

    def _post(self, news: News) -> None:
        self._news.put(news)
