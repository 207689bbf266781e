"""Text as `generate` makes it: `TextStreamer` prints it, `TextIteratorStreamer` hands it out.

Any object with `put(ids)` and `end()` is a streamer; transformers' own work too.
"""

from __future__ import annotations

import sys
from queue import Queue
from typing import Any

from halfbyte.errors import RequestError


def check_streamer(streamer: object) -> None:
    """RequestError where it is neither None nor has `put` and `end`."""
    methods = (getattr(streamer, "put", None), getattr(streamer, "end", None))
    if streamer is not None and not all(map(callable, methods)):
        raise RequestError("streamer", expected="an object with put and end", got=repr(streamer))


class TextStreamer:
    """Prints text word by word; for a batch of one row.

    Args:
        tokenizer: whose ids they are.
        skip_prompt: do not print the prompt.
        decode_kwargs: for `tokenizer.decode`, as `skip_special_tokens=True`.
    """

    def __init__(self, tokenizer: Any, skip_prompt: bool = False, **decode_kwargs: Any) -> None:
        self.tokenizer = tokenizer
        self.skip_prompt = skip_prompt
        self.decode_kwargs = decode_kwargs
        self._ids: list[int] = []
        self._n_shown = 0
        self._is_prompt = True

    def put(self, value: Any) -> None:
        """Take the prompt, or the next ids; raises RequestError for more than one row."""
        if len(value.shape) > 1:
            if value.shape[0] > 1:
                raise RequestError("streamer", expected="one row", got=int(value.shape[0]))
            value = value[0]
        is_prompt, self._is_prompt = self._is_prompt, False
        if is_prompt and self.skip_prompt:
            return
        self._ids.extend(value.tolist())
        text = self._decode(self._ids)
        # A word may go on, and a character may be half: both wait for what follows.
        is_done = text.endswith("\n") or _is_chinese(text[-1:])
        n = max(len(text) if is_done else text.rfind(" ") + 1, self._n_shown)
        self.on_finalized_text(text[self._n_shown : n])
        self._n_shown = n
        last = self._ids[-1:]
        if text.endswith("\n") and self._decode(last):
            # A line is done: all but its last token, which keeps the next line's spaces, can go.
            self._ids, self._n_shown = last, len(self._decode(last))

    def end(self) -> None:
        """Give out what is left."""
        text = self._decode(self._ids)
        self.on_finalized_text(text[self._n_shown :], stream_end=True)
        self._ids, self._n_shown, self._is_prompt = [], 0, True

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Print a piece of text, and a newline after the last one."""
        sys.stdout.write(text + "\n" if stream_end else text)
        sys.stdout.flush()

    def _decode(self, ids: list[int]) -> str:
        return str(self.tokenizer.decode(ids, **self.decode_kwargs)) if ids else ""


class TextIteratorStreamer(TextStreamer):
    """Hands text out to another thread, which iterates over the streamer.

    `timeout`: seconds to wait for a piece before queue.Empty is raised; None waits for ever. There
    is a piece for each token, which may be empty, and it can be used again.
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
        self.text_queue: Queue[str | None] = Queue()
        self.stop_signal = None

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Hand out a piece of text."""
        self.text_queue.put(text, timeout=self.timeout)
        if stream_end:
            self.text_queue.put(self.stop_signal, timeout=self.timeout)

    def __iter__(self) -> TextIteratorStreamer:
        return self

    def __next__(self) -> str:
        """The next piece."""
        piece = self.text_queue.get(timeout=self.timeout)
        if piece is None:
            raise StopIteration
        return piece


def check_timeout(seconds: object) -> float | None:
    """Seconds to wait, None for ever; RequestError for anything else."""
    if seconds is None:
        return None
    is_number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    if not is_number or not 0 <= seconds <= 1e9:  # type: ignore[operator]
        raise RequestError("timeout", expected="seconds from 0, or None", got=repr(seconds))
    return float(seconds)  # type: ignore[arg-type]


def _is_chinese(character: str) -> bool:
    """Whether it is one that is a word of its own, in the blocks that transformers counts."""
    return any(low <= character <= high for low, high in _CHINESE)


_CHINESE = (
    ("\u4e00", "\u9fff"), ("\u3400", "\u4dbf"), ("\U00020000", "\U0002a6df"),
    ("\U0002a700", "\U0002ceaf"), ("\uf900", "\ufaff"), ("\U0002f800", "\U0002fa1f"),
)  # fmt: skip
