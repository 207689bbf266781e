"""Text as `generate` makes it, for a coroutine: `AsyncTextIteratorStreamer`."""

from __future__ import annotations

import asyncio
from typing import Any

from halfbyte.hf.streamers import TextStreamer, check_timeout


class AsyncTextIteratorStreamer(TextStreamer):
    """Hands text out to a coroutine, which iterates over it, while `generate` runs in a thread.

    Made inside a coroutine of the loop that is to iterate. TimeoutError where a piece takes longer
    than `timeout` seconds; None waits for ever.
    """

    def __init__(
        self,
        tokenizer: Any,
        skip_prompt: bool = False,
        timeout: float | None = None,
        **decode_kwargs: Any,
    ) -> None:
        super().__init__(tokenizer, skip_prompt, **decode_kwargs)
        self.timeout = check_timeout(timeout)
        self.text_queue: asyncio.Queue[str | None] = asyncio.Queue()
        self.stop_signal = None
        self.loop = asyncio.get_running_loop()

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Hand out a piece of text; from any thread."""
        if self.loop.is_closed():  # nobody waits any more
            return
        self.loop.call_soon_threadsafe(self.text_queue.put_nowait, text)
        if stream_end:
            self.loop.call_soon_threadsafe(self.text_queue.put_nowait, self.stop_signal)

    def __aiter__(self) -> AsyncTextIteratorStreamer:
        return self

    async def __anext__(self) -> str:
        """The next piece."""
        try:
            piece = await asyncio.wait_for(self.text_queue.get(), self.timeout)
        except asyncio.TimeoutError as error:  # another class before Python 3.11
            raise TimeoutError(f"no text came in {self.timeout} seconds") from error
        if piece is None:
            raise StopAsyncIteration
        return piece
