"""Chats with tools on the packaged model: the same bits beside others, and their streams."""

from __future__ import annotations

import asyncio
import itertools
import threading
from typing import Any

import pytest

import halfbyte
from halfbyte.generation.chat_completion import ChatCompletion, Part

PARAMETERS = {
    "type": "object",
    "properties": {
        "n": {"type": "integer", "minimum": 1, "maximum": 9},
        "of": {"enum": ["é", "x"]},
    },
    "required": ["n", "of"],
}
TOOLS = [{"type": "function", "function": {"name": "count", "parameters": PARAMETERS}}]
USER = [{"role": "user", "content": "def f("}]
HOW: dict[str, Any] = {
    "format": "llama-2",
    "tools": TOOLS,
    "tool_choice": "count",
    "max_tokens": 60,
}


@pytest.mark.parametrize("drawn", [{"temperature": 0}, {"temperature": 1.2, "seed": 7}])
def test_a_call_has_the_same_bits_beside_others(
    infill_model: halfbyte.Model, drawn: dict[str, Any]
) -> None:
    how = {**HOW, **drawn}
    alone = infill_model.chat(USER, **how)
    call = alone.tool_calls[0]
    assert call.name == "count" and set(call.arguments) == {"n", "of"}
    assert 1 <= call.arguments["n"] <= 9 and call.arguments["of"] in ("é", "x")
    assert (alone.text, alone.finish_reason) == ("", "tool_calls")
    slow = infill_model.chat(USER, **how, speculate=False)
    assert (slow.tokens, slow.tool_calls) == (alone.tokens, alone.tool_calls)
    others = [
        threading.Thread(target=infill_model.complete, args=(text,)) for text in ("a", "b = ")
    ]
    for other in others:
        other.start()
    beside = infill_model.chat(USER, **how)
    for other in others:
        other.join()
    assert (beside.tokens, beside.tool_calls) == (alone.tokens, alone.tool_calls)


def test_a_shape_beside_tools_has_the_same_bits_beside_others(
    infill_model: halfbyte.Model,
) -> None:
    schema = {"type": "object", "properties": {"k": {"enum": ["é", "x"]}}, "required": ["k"],
              "additionalProperties": False}  # fmt: skip
    how: Any = {**HOW, "tool_choice": "auto", "json_schema": schema, "temperature": 1.3, "seed": 4,
                "parallel_tool_calls": False}  # fmt: skip
    alone = infill_model.chat(USER, **how)
    assert alone.tool_calls or (alone.text in ('{"k":"é"}', '{"k":"x"}') and alone.is_complete)
    slow = infill_model.chat(USER, **how, speculate=False)
    beside = infill_model.chat(USER, **how, n=3)[0]
    assert slow.tokens == beside.tokens == alone.tokens
    stream = infill_model.stream_chat(USER, **how)
    text = "".join(part.text for part in stream.parts() if part.kind == "content")
    assert text == alone.text and stream.result().tokens == alone.tokens


def test_streams_tell_the_parts(infill_model: halfbyte.Model) -> None:
    done = infill_model.chat(USER, **HOW, temperature=0)
    stream = infill_model.stream_chat(USER, **HOW, temperature=0)
    parts = list(stream.parts())
    assert {part.kind for part in parts} == {"tool_call"}
    assert stream.completion == stream.result() and isinstance(stream.completion, ChatCompletion)
    assert stream.completion.tool_calls == done.tool_calls
    assert '"count"' in "".join(part.text for part in parts)
    assert list(infill_model.stream_chat(USER, **HOW, temperature=0)) == []

    async def collect() -> tuple[list[Part], Any]:
        stream = infill_model.astream_chat(USER, **HOW, temperature=0)
        return [part async for part in stream.parts()], stream.completion

    collected, completion = asyncio.run(collect())
    text = "".join(part.text for part in collected)
    assert text == "".join(part.text for part in parts) and completion.tool_calls == done.tool_calls


def test_every_stream_has_parts(infill_model: halfbyte.Model) -> None:
    done = infill_model.complete("import os", max_tokens=6)
    stream = infill_model.stream("import os", max_tokens=6)
    parts = list(stream.parts())
    assert "".join(part.text for part in parts) == done.text
    assert {part.kind for part in parts} == {"content"} and stream.completion is not None


def test_leaving_the_parts_gives_the_answer_up(infill_model: halfbyte.Model) -> None:
    stream = infill_model.stream("import os", max_tokens=200)
    for _ in stream.parts():
        break
    with pytest.raises(halfbyte.EngineError, match="closed"):
        stream.result()


def test_tools_go_with_no_other_constraint(infill_model: halfbyte.Model) -> None:
    with pytest.raises(halfbyte.RequestError) as caught:
        infill_model.chat(USER, **HOW, regex="a")
    assert caught.value.param == "regex"


@pytest.mark.parametrize(
    ("name", "value"),
    [("tools", "x"), ("tool_choice", "weather"), ("thinking", 1), ("reasoning_budget", -1)],
)
def test_bad_values_are_named_and_the_model_stays(
    infill_model: halfbyte.Model, name: str, value: Any
) -> None:
    with pytest.raises(halfbyte.RequestError) as caught:
        infill_model.chat(USER, **{**HOW, name: value})
    assert caught.value.param == name
    assert infill_model.complete("a", max_tokens=1).tokens


def test_other_methods_say_who_takes_them(infill_model: halfbyte.Model) -> None:
    for name in ("tools", "tool_choice", "thinking"):
        with pytest.raises(halfbyte.RequestError, match="chat takes it"):
            infill_model.complete("a", **{name: None})
    with pytest.raises(halfbyte.RequestError, match="complete and infill take it"):
        infill_model.chat(USER, format="llama-2", syntax="python")  # type: ignore[call-arg]


def test_streams_tell_whole_calls_and_all_parts_that_wait(infill_model: halfbyte.Model) -> None:
    done = infill_model.chat(USER, **HOW, temperature=0, n=2)

    async def follow() -> tuple[list[tuple[int, Part]], Any]:
        stream = infill_model.astream_chat(USER, **HOW, temperature=0, n=2)
        await stream.begin()
        assert list(stream.tool_calls) == [[], []] or stream.completions is not None
        parts: list[tuple[int, Part]] = []
        while batch := await stream.batch():
            parts += batch
        return parts, stream

    parts, stream = asyncio.run(follow())
    assert [list(calls) for calls in stream.tool_calls] == [list(one.tool_calls) for one in done]
    for i, one in enumerate(done):
        texts = [part.text for number, part in parts if number == i]
        assert texts and one.tool_calls[0].name in "".join(texts)


@pytest.fixture
def unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every other call that is read is none."""
    from halfbyte.prompt.tools.call_format import MalformedCall
    from halfbyte.prompt.tools.generic import Generic

    parse, n_read = Generic.parse, itertools.count()

    def parsed(self: Any, text: str, functions: Any) -> Any:
        if next(n_read) % 2:
            raise MalformedCall("of no use")
        return parse(self, text, functions)

    monkeypatch.setattr(Generic, "parse", parsed)


@pytest.mark.usefixtures("unreadable")
def test_an_unreadable_call_is_its_own_candidates(infill_model: halfbyte.Model) -> None:
    how: dict[str, Any] = {**HOW, "temperature": 1.2, "seed": 7}
    found = infill_model.chat(USER, n=4, **how)
    assert [len(one.tool_calls) for one in found] == [1, 0, 1, 0]
    for one in found:
        assert (one.tool_error is None) is bool(one.tool_calls)
        assert one.tool_error is None or one.tool_error.reason == "of no use"
    with infill_model.stream_chat(USER, n=2, **how) as stream:
        assert [one.tool_error is None for one in stream.result()] == [True, False]
    ranked = infill_model.chat(USER, n=4, best_of=4, **how)
    assert [one.tool_error is None for one in ranked] == [True, True, False, False]
    for pair in (ranked[:2], ranked[2:]):
        assert pair[0].score >= pair[1].score  # type: ignore[operator]
    awaited = asyncio.run(infill_model.achat(USER, n=2, **how))
    assert [one.tool_error is None for one in awaited] == [True, False]


@pytest.mark.usefixtures("unreadable")
def test_one_answers_unreadable_call_is_raised(infill_model: halfbyte.Model) -> None:
    how: dict[str, Any] = {**HOW, "temperature": 0}
    assert infill_model.chat(USER, **how).tool_calls
    with pytest.raises(halfbyte.ToolCallError) as caught:
        infill_model.chat(USER, **how)
    assert caught.value.completion.tool_error is not None
    assert infill_model.stream_chat(USER, **how).result().tool_calls
    with pytest.raises(halfbyte.ToolCallError):
        infill_model.stream_chat(USER, **how).result()
    assert asyncio.run(infill_model.achat(USER, **how)).tool_calls
    with pytest.raises(halfbyte.ToolCallError):
        asyncio.run(infill_model.achat(USER, **how))
    assert infill_model.chat(USER, best_of=2, **{**how, "temperature": 1.0}).tool_calls
