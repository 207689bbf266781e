"""The items of a response's output."""

from __future__ import annotations

from typing import Any

import pytest

from halfbyte.generation.chat_completion import ChatCompletion, ToolCall
from halfbyte.generation.completion import Stats
from halfbyte.server.openai.response_fields import ResponseFields
from halfbyte.server.openai.response_shapes import output_of

CALL = ToolCall("c12345678", "f", {"a": "é"})


def _kinds(**parts: Any) -> list[tuple[str, str]]:
    how: dict[str, Any] = {"text": "", "finish_reason": "stop", **parts}
    done = ChatCompletion(tokens=[], stats=Stats(1, 0.0, 0, 0.0), **how)
    items = output_of("r", ResponseFields(input="x"), done)
    assert len({item["id"] for item in items}) == len(items)
    return [(item["type"], item["status"]) for item in items]


def test_what_came_is_told_and_what_was_cut() -> None:
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
def test_a_call_has_its_arguments_as_json(summary: str | None) -> None:
    done = ChatCompletion(
        text="", tokens=[], finish_reason="tool_calls", stats=Stats(1, 0.0, 0, 0.0),
        reasoning="hm", tool_calls=(CALL,),
    )  # fmt: skip
    body = {"input": "x", "reasoning": {"summary": summary}}
    thought, call = output_of("r", ResponseFields.model_validate(body), done)
    assert (call["arguments"], call["call_id"]) == ('{"a":"é"}', "c12345678")
    kind = "content" if summary is None else "summary"
    assert [part["text"] for part in thought[kind]] == ["hm"]
