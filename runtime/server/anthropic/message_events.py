"""An answer as Anthropic's stream of events: blocks that begin, grow and end.

Source: https://docs.anthropic.com/en/docs/build-with-claude/streaming.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import groupby
from typing import Any

from halfbyte.generation.chat_completion import Part, ToolCall
from halfbyte.server.anthropic.anthropic_answers import (
    calls_of,
    ended,
    error,
    opened,
    signature,
    tool_use,
    usage,
)
from halfbyte.server.exchange import Answer, Exchange
from halfbyte.server.fault import fault_of
from halfbyte.server.reply import Events, dumps, event
from halfbyte.server.served_model import ServedModel

PING = event({"type": "ping"}, "ping")
_EMPTY: dict[str, dict[str, Any]] = {
    "content": {"type": "text", "text": ""},
    "reasoning": {"type": "thinking", "thinking": "", "signature": ""},
}
_DELTAS = {
    "content": b'{"type":"text_delta","text":%b}',
    "reasoning": b'{"type":"thinking_delta","thinking":%b}',
}
_DELTA = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":%b}\n\n'
)


class MessageEvents(Events):
    """Events whose stream is kept alive by Anthropic's own pings."""

    ping = PING


class _Blocks:
    """The blocks of an answer, one open at a time."""

    def __init__(self) -> None:
        self._i = -1
        self._open = ""
        self._thoughts: list[str] = []
        self._n_calls = 0

    def grow(self, parts: Sequence[Part]) -> Iterator[bytes]:
        """Texts and thoughts; calls come when they are whole."""
        for kind, run in groupby(parts, lambda part: part.kind):
            if kind == "tool_call":
                continue
            text = "".join(part.text for part in run)
            if kind != self._open:
                yield from self.close()
                yield self._begin(_EMPTY[kind])
                self._open = kind
            if kind == "reasoning":
                self._thoughts.append(text)
            yield _DELTA % (self._i, _DELTAS[kind] % dumps(text))

    def call(self, calls: Sequence[ToolCall]) -> Iterator[bytes]:
        """Those of the calls that are new."""
        for call in calls[self._n_calls :]:
            yield from self.close()
            whole = tool_use(call)
            yield self._begin({**whole, "input": {}})
            delta = {"type": "input_json_delta", "partial_json": dumps(whole["input"]).decode()}
            yield _DELTA % (self._i, dumps(delta))
            self._open = "tool_call"
            yield from self.close()
        self._n_calls = len(calls)

    def close(self) -> Iterator[bytes]:
        """End the open block."""
        if self._open == "reasoning":
            signed = {"type": "signature_delta", "signature": signature("".join(self._thoughts))}
            yield _DELTA % (self._i, dumps(signed))
            self._thoughts.clear()
        if self._open:
            yield event({"type": "content_block_stop", "index": self._i}, "content_block_stop")
        self._open = ""

    def finish(self) -> Iterator[bytes]:
        """End the last block; an answer of none gets an empty text."""
        if self._i < 0:
            yield self._begin(_EMPTY["content"])
            self._open = "content"
        yield from self.close()

    def _begin(self, block: dict[str, Any]) -> bytes:
        self._i += 1
        begun = {"type": "content_block_start", "index": self._i, "content_block": block}
        return event(begun, "content_block_start")


async def message_events(
    exchange: Exchange, model: ServedModel, answer: Answer
) -> AsyncIterator[bytes]:
    """The events of an answer, those that wait together; it ends with an error if it fails."""
    known = {"input_tokens": answer.n_prompt, "output_tokens": 0}
    nothing = {**known, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    begun = {"type": "message_start", "message": {**opened(exchange, model), "usage": nothing}}
    yield event(begun, "message_start") + PING
    blocks = _Blocks()
    try:
        async for batch in answer:
            events = [*blocks.grow([part for _, part in batch]), *blocks.call(answer.tool_calls(0))]
            if events:
                yield b"".join(events)
        done = answer.completions[0]
        last = [*blocks.call(calls_of(done)), *blocks.finish()]
        delta = ended(done)
        told = {"type": "message_delta", "delta": delta, "usage": usage(done)}
        last += [event(told, "message_delta"), event({"type": "message_stop"}, "message_stop")]
        yield b"".join(last)
    except Exception as failed:
        fault = fault_of(failed)
        fault.request_id = exchange.request_id
        yield event(error(fault), "error")
