"""A call of asyncio: the same requests, waited for without blocking the event loop."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from halfbyte.generation.call import Call, News

if TYPE_CHECKING:
    import asyncio


class AsyncCall(Call):
    """A call whose news wake a task; made while its event loop runs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        from asyncio import get_running_loop  # takes long to import, and few need it

        super().__init__(*args, **kwargs)
        self._loop = get_running_loop()
        self._bell = _bells.setdefault(self._loop, _Bell())
        self._turn: asyncio.Future[None] | None = None  # of the task that waits

    async def afollow(self) -> AsyncIterator[None]:
        """`follow` for a task."""
        while not self.is_over:
            await self.await_news()
            if not self.is_over:
                yield
        self.finish()
        yield

    async def await_end(self) -> None:
        """Begin, and wait until it is over; it is cancelled with the task that waits."""
        try:
            self.begin()
            async for _ in self.afollow():
                pass
        finally:
            self.cancel()

    async def await_news(self) -> None:
        """`wait` for a task. That it ends in time is others' work: see deadlines.py."""
        self.check_process()
        self.end_if_late()  # also where there is always something new
        while self._news.empty():
            self._turn = self._loop.create_future()
            await self._turn
        while not self._news.empty():
            self._pass_on(self._news.get())

    def wake(self) -> None:
        """There is something new; in the event loop."""
        if self._turn is not None and not self._turn.done():
            self._turn.set_result(None)

    def ring(self) -> None:
        """See Caller."""
        self._bell.ring(self._loop)

    def _post(self, news: News) -> None:
        super()._post(news)
        self._bell.calls.append(self)


class _Bell:
    """Wakes an event loop: once for all calls that a step had news for.

    To wake it lets go of the interpreter, which the loop then has as long as it is busy. So it is
    rung when a step is dealt out, and the loop works while the next one is computed.

    Attributes:
        calls: those that have news; any thread may add one.
    """

    def __init__(self) -> None:
        self.calls: deque[AsyncCall] = deque()
        self._is_rung = False

    def ring(self, loop: asyncio.AbstractEventLoop) -> None:
        """Some calls have news, or none; from any thread."""
        if not self.calls or (self._is_rung and not loop.is_closed()):
            return
        self._is_rung = True
        try:
            loop.call_soon_threadsafe(self._answer)
        except RuntimeError:  # the loop was closed: nobody waits any more
            while self.calls:
                self.calls.popleft().cancel()

    def _answer(self) -> None:
        self._is_rung = False  # before looking: who comes from now on rings again
        while self.calls:
            self.calls.popleft().wake()


_bells: WeakKeyDictionary[asyncio.AbstractEventLoop, _Bell] = WeakKeyDictionary()
