"""Events of a stream, from parts as they come."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

from halfbyte.generation.chat_completion import ChatCompletion, Part, ToolCall
from halfbyte.generation.completion import Stats
from halfbyte.server.anthropic.anthropic_answers import signature
from halfbyte.server.anthropic.message_events import MessageEvents, message_events

CALL = ToolCall("abcDEF123", "f", {"a": [1, "é"]})


class Playing:
    """An answer whose batches are given; each may be followed by more whole calls."""

    n_prompt = 11

    def __init__(self, *batches: list[Part] | list[ToolCall] | Exception) -> None:
        self._batches = batches
        self.calls: list[ToolCall] = []

    async def __aiter__(self) -> AsyncIterator[list[tuple[int, Part]]]:
        for batch in self._batches:
            if isinstance(batch, Exception):
                raise batch
            parts = [(0, one) for one in batch if isinstance(one, Part)]
            self.calls += [one for one in batch if isinstance(one, ToolCall)]
            yield parts or [(0, Part("tool_call", "x"))]

    def tool_calls(self, i: int) -> list[ToolCall]:
        assert i == 0
        return list(self.calls)

    @property
    def completions(self) -> list[ChatCompletion]:
        done = ChatCompletion(
            text="", tokens=[1, 2], finish_reason="tool_calls" if self.calls else "stop",
            stats=Stats(11, 0.1, 1, 0.1, 4), tool_calls=tuple(self.calls),
        )  # fmt: skip
        return [done]


def play(*batches: Any) -> list[dict[str, Any]]:
    exchange: Any = SimpleNamespace(request_id="r")
    model: Any = SimpleNamespace(name="m")

    async def collect() -> bytes:
        answer: Any = Playing(*batches)
        return b"".join([one async for one in message_events(exchange, model, answer)])

    told = asyncio.run(collect()).decode()
    lines = [event.split("\ndata: ") for event in told.strip().split("\n\n")]
    made = [json.loads(data) for _, data in lines]
    assert [name for name, _ in lines] == [f"event: {one['type']}" for one in made]
    return made


def test_blocks_begin_grow_and_end() -> None:
    made = play(
        [Part("reasoning", "h"), Part("reasoning", "m")], [Part("content", "a")],
        [Part("content", "b")], [Part("tool_call", "{")], [CALL, CALL], [Part("content", "c")],
    )  # fmt: skip
    begun, ping, *middle, delta, stop = made
    usage = {"input_tokens": 11, "output_tokens": 0, "cache_creation_input_tokens": 0,
             "cache_read_input_tokens": 0}  # fmt: skip
    assert begun["message"]["usage"] == usage and begun["message"]["id"] == "msg_r"
    assert ping == {"type": "ping"} and stop == {"type": "message_stop"}
    assert delta["usage"]["output_tokens"] == 2 and delta["usage"]["cache_read_input_tokens"] == 4
    assert delta["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}

    def block(i: int, begin: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            {"type": "content_block_start", "index": i, "content_block": begin},
            *({"type": "content_block_delta", "index": i, "delta": one} for one in deltas),
            {"type": "content_block_stop", "index": i},
        ]

    def said(text: str) -> dict[str, str]:
        return {"type": "text_delta", "text": text}

    call = {"type": "tool_use", "id": "toolu_abcDEF123", "name": "f", "input": {}}
    written = {"type": "input_json_delta", "partial_json": '{"a":[1,"é"]}'}
    assert middle == [
        *block(
            0, {"type": "thinking", "thinking": "", "signature": ""},
            {"type": "thinking_delta", "thinking": "hm"},
            {"type": "signature_delta", "signature": signature("hm")},
        ),
        *block(1, {"type": "text", "text": ""}, said("a"), said("b")),
        *block(2, call, written), *block(3, call, written),
        *block(4, {"type": "text", "text": ""}, said("c")),
    ]  # fmt: skip


def test_an_answer_of_nothing_has_an_empty_text() -> None:
    kinds = [one["type"] for one in play()]
    assert kinds == [
        "message_start", "ping", "content_block_start", "content_block_stop", "message_delta",
        "message_stop",
    ]  # fmt: skip


def test_a_failure_is_the_last_event() -> None:
    *_, last = play([Part("content", "a")], KeyError("x"))
    assert last == {
        "type": "error", "request_id": "r",
        "error": {"type": "api_error", "message": "the server failed; its log says why"},
    }  # fmt: skip


def test_long_prefills_are_kept_alive_by_pings() -> None:
    assert MessageEvents.ping == b'event: ping\ndata: {"type":"ping"}\n\n'
