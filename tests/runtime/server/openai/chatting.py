"""What the tests of chats ask."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from halfbyte.generation.chat_completion import ChatCompletion, Part, ToolCall
from halfbyte.generation.completion import Stats

USER: Any = [{"role": "user", "content": "def mean(values):"}]
PARAMETERS = {
    "type": "object",
    "properties": {
        "n": {"type": "integer", "minimum": 1, "maximum": 9}, "of": {"enum": ["é", "x"]},
    },
    "required": ["n", "of"],
    "additionalProperties": False,
}  # fmt: skip
FUNCTION = {"name": "count", "description": "Counts.", "parameters": PARAMETERS}
TOOLS: Any = [
    {"type": "function", "function": FUNCTION},
    {"type": "function", "function": {**FUNCTION, "name": "add"}},
]
SHORT: dict[str, Any] = {"temperature": 0, "max_tokens": 12}


class Played:
    """An answer that is played back: batches of parts, and the calls that are whole after each."""

    def __init__(
        self, done: ChatCompletion, *batches: tuple[Sequence[tuple[str, str]], int]
    ) -> None:
        self.completions, self._batches, self._n_calls = [done], batches, 0

    async def __aiter__(self) -> AsyncIterator[list[tuple[int, Part]]]:
        """See Answer."""
        for parts, n_calls in self._batches:
            self._n_calls = n_calls
            yield [(0, Part(kind, text)) for kind, text in parts]  # type: ignore[arg-type]

    def tool_calls(self, i: int) -> Sequence[ToolCall]:
        """See Answer."""
        return self.completions[i].tool_calls[: self._n_calls]

    def logprobs(self, i: int) -> list[object]:
        """See Answer."""
        return []


def played(text: str, *calls: ToolCall, **more: Any) -> ChatCompletion:
    """A result."""
    return ChatCompletion(
        text=text, tool_calls=calls, tokens=[], stats=Stats(1, 0.0, 0, 0.0),
        finish_reason="tool_calls" if calls else "stop", **more,
    )  # fmt: skip


def events_of(chunks: AsyncIterator[bytes]) -> list[dict[str, Any]]:
    """The JSON of a stream's events."""

    async def taken() -> bytes:
        return b"".join([chunk async for chunk in chunks])

    events = asyncio.run(taken()).decode().split("\n\n")
    found = [line for event in events for line in event.split("\n") if line.startswith("data: {")]
    return [json.loads(line.removeprefix("data: ")) for line in found]
