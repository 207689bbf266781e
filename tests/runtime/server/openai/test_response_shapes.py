"""The items of a response's output."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from halfbyte.generation.chat_completion import ChatCompletion, ToolCall
from halfbyte.generation.completion import Stats
from halfbyte.server.openai.response_events import ResponseEvents
from halfbyte.server.openai.response_fields import ResponseFields
from halfbyte.server.openai.response_shapes import response_shell
from halfbyte.server.served_model import ServedModel
from tests.runtime.server.openai.chatting import Played

CALL = ToolCall("c12345678", "f", {"a": "é"})


@pytest.fixture
def output(served_tools: ServedModel) -> Callable[..., list[Any]]:
    """The items of an answer whose thoughts, text and calls came one after another."""

    def output(body: dict[str, Any], **parts: Any) -> list[Any]:
        how: dict[str, Any] = {"text": "", "finish_reason": "stop", **parts}
        tokens = served_tools.model.tokenizer.encode(how.get("reasoning", "") + "x")
        done = ChatCompletion(tokens=tokens, stats=Stats(1, 0.0, 0, 0.0), **how)
        came = [("reasoning", done.reasoning or ""), ("content", done.text)]
        batches = [([(kind, text)], 0) for kind, text in came if text]
        asked = ResponseFields.model_validate({"input": "x", **body})
        shell = response_shell(served_tools, asked, "r", 1)
        answer: Any = Played(done, *batches)
        made = asyncio.run(ResponseEvents(served_tools, shell, asked, "r").whole(answer))
        items: list[Any] = made["output"]
        assert len({item["id"] for item in items}) == len(items)
        return items

    return output


def test_what_came_is_told_and_what_was_cut(output: Callable[..., list[Any]]) -> None:
    def _kinds(**parts: Any) -> list[tuple[str, str]]:
        return [(item["type"], item["status"]) for item in output({}, **parts)]

    message, thoughts, call = (
        (kind, "completed") for kind in ("message", "reasoning", "function_call")
    )
    assert _kinds(text="x") == [message] == _kinds()
    assert _kinds(text="x", reasoning="hm", tool_calls=(CALL,)) == [thoughts, message, call]
    assert _kinds(tool_calls=(CALL, CALL)) == [call, call]
    cut: dict[str, Any] = {"finish_reason": "length"}
    assert _kinds(reasoning="hm", **cut) == [("reasoning", "incomplete")]
    assert _kinds(reasoning="hm", text="x", **cut) == [thoughts, ("message", "incomplete")]
    assert _kinds(**cut) == [("message", "incomplete")]


@pytest.mark.parametrize("summary", [None, "auto"])
def test_a_call_has_its_arguments_as_json(
    output: Callable[..., list[Any]], summary: str | None
) -> None:
    body = {"reasoning": {"summary": summary}}
    thought, call = output(body, finish_reason="tool_calls", reasoning="hm", tool_calls=(CALL,))
    assert (call["arguments"], call["call_id"]) == ('{"a":"é"}', "c12345678")
    kind = "content" if summary is None else "summary"
    assert [part["text"] for part in thought[kind]] == ["hm"]
