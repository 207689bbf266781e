"""A call of asyncio: the same requests, waited for without blocking the event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from halfbyte.generation.call import Call, News


class AsyncCall(Call):
    """A call whose news wake a task; made while its event loop runs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        import asyncio  # takes long, and few need it

        super().__init__(*args, **kwargs)
        self._loop, self._has_news = asyncio.get_running_loop(), asyncio.Event()

    async def afollow(self) -> AsyncIterator[None]:
        """`follow` for a task."""
        while not self.is_over:
            await self.await_news()
            if not self.is_over:
                yield
        self.finish()
        yield

    async def await_news(self) -> None:
        """`wait` for a task."""
        import asyncio

        self.check_process()
        self.end_if_late()  # also where there is always something new
        while self._news.empty():
            try:
                await asyncio.wait_for(self._has_news.wait(), self.seconds_left())
            except asyncio.TimeoutError:
                self.end_if_late()
            self._has_news.clear()
        self._has_news.clear()
        while not self._news.empty():
            self._pass_on(self._news.get())

    def _post(self, news: News) -> None:
        super()._post(news)
        try:
            self._loop.call_soon_threadsafe(self._has_news.set)
        except RuntimeError:  # the loop was closed: nobody waits any more
            self.cancel()
