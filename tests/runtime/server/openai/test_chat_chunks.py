"""Streams of chats, event by event."""

from __future__ import annotations

import json
from typing import Any

import openai

import halfbyte
from halfbyte.generation.chat_completion import ToolCall
from halfbyte.server.openai.chat_chunks import ChatChunks
from halfbyte.server.openai.chat_fields import ChatFields
from halfbyte.server.served_model import ServedModel
from tests.runtime.server.openai.chatting import SHORT, TOOLS, USER, Played, events_of, played


def test_a_stream_is_the_same_text(chatter: openai.OpenAI, tools_model: halfbyte.Model) -> None:
    stream = chatter.chat.completions.create(
        model="calls", messages=USER, stream=True, stream_options={"include_usage": True}, **SHORT
    )
    chunks = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    expected = tools_model.chat(USER, **SHORT)
    assert text == expected.text
    assert [c.choices[0].finish_reason for c in chunks[:-1]][-1] == "length"
    assert all(c.usage is None for c in chunks[:-1]) and not chunks[-1].choices
    usage = chunks[-1].usage
    assert usage is not None and usage.completion_tokens == 12
    assert len({c.id for c in chunks}) == 1


def test_several_answers_stream_side_by_side(
    chatter: openai.OpenAI, tools_model: halfbyte.Model
) -> None:
    texts = ["", ""]
    reasons: list[str | None] = [None, None]
    for chunk in chatter.chat.completions.create(
        model="calls", messages=USER, n=2, seed=3, max_tokens=9, stream=True
    ):
        choice = chunk.choices[0]
        texts[choice.index] += choice.delta.content or ""
        reasons[choice.index] = choice.finish_reason or reasons[choice.index]
    assert texts == [one.text for one in tools_model.chat(USER, n=2, seed=3, max_tokens=9)]
    assert reasons == ["length", "length"]


def test_a_streamed_call_comes_whole(chatter: openai.OpenAI, tools_model: halfbyte.Model) -> None:
    how: Any = {"temperature": 0, "max_tokens": 80, "tools": TOOLS, "tool_choice": "required"}
    deltas = [
        chunk.choices[0]
        for chunk in chatter.chat.completions.create(
            model="calls", messages=USER, stream=True, **how
        )
    ]
    made = [call for choice in deltas for call in choice.delta.tool_calls or ()]
    expected = tools_model.chat(USER, **how).tool_calls
    assert [(c.index, c.id, c.function.name, json.loads(c.function.arguments)) for c in made] == [
        (i, c.id, c.name, c.arguments) for i, c in enumerate(expected)
    ]
    assert deltas[-1].finish_reason == "tool_calls"
    assert not any(choice.delta.content for choice in deltas)


CALLS = [ToolCall("c1", "count", {"n": 1}), ToolCall("c2", "add", {"of": "é"})]
BATCHES: Any = [
    ([("reasoning", "h"), ("reasoning", "m")], 0),
    ([("content", "I look."), ("tool_call", '{"name"')], 0),
    ([("tool_call", "...}"), ("content", "\nAnd")], 1),
    ([("tool_call", "{...}")], 1),
]


def _events(model: ServedModel, answer: Played) -> list[dict[str, Any]]:
    body = {"messages": USER, "tools": TOOLS, "stream": True}
    asked = ChatFields.model_validate(body)
    return events_of(ChatChunks(model, {"id": "x"}, asked).events(answer))  # type: ignore[arg-type]


def test_calls_come_when_they_are_whole(served_tools: ServedModel) -> None:
    done = played("I look.\nAnd", *CALLS, reasoning="hm")
    deltas = [
        event["choices"][0]["delta"] for event in _events(served_tools, Played(done, *BATCHES))
    ]
    made = [call for delta in deltas for call in delta.get("tool_calls", ())]
    assert [(call["index"], call["id"], call["function"]) for call in made] == [
        (0, "c1", {"name": "count", "arguments": '{"n":1}'}),
        (1, "c2", {"name": "add", "arguments": '{"of":"é"}'}),
    ]
    assert [delta["reasoning_content"] for delta in deltas if "reasoning_content" in delta] == [
        "hm"
    ]
    assert [delta["content"] for delta in deltas if "content" in delta] == ["", "I look.", "\nAnd"]


def test_a_call_that_cannot_be_read_is_an_error(served_tools: ServedModel) -> None:
    error = halfbyte.ToolCallError("no JSON", "{")
    events = _events(served_tools, Played(played("So", tool_error=error), *BATCHES[:2]))
    assert "no JSON" in events[-1]["error"]["message"] and "choices" in events[-2]
