"""Items of a response's input, and the messages that they are."""

from __future__ import annotations

from typing import Any

import pytest

from halfbyte.server.fault import Fault
from halfbyte.server.openai.response_fields import InputItem
from halfbyte.server.openai.response_input import input_messages

THOUGHT = {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "hm"}]}
SAID = {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed",
        "content": [{"type": "output_text", "text": "I look.", "annotations": []}]}  # fmt: skip
RESULT = {"type": "function_call_output", "call_id": "c1", "output": "rain"}
USER = {"role": "user", "content": "So?"}


def _call(made: str) -> dict[str, Any]:
    return {"type": "function_call", "call_id": made, "name": "f", "arguments": "{}", "id": "fc_1"}


def _made(*items: dict[str, Any], instructions: str | None = None) -> list[dict[str, Any]]:
    return input_messages([InputItem.model_validate(item) for item in items], instructions)


def _called(*ids: str) -> list[dict[str, Any]]:
    return [{"id": made, "type": "function", "function": {"name": "f", "arguments": "{}"}}
            for made in ids]  # fmt: skip


def test_an_answer_s_items_are_one_message() -> None:
    result = {"role": "tool", "content": "rain", "tool_call_id": "c1"}
    answer = {"role": "assistant", "content": "I look.", "reasoning_content": "hm",
              "tool_calls": _called("c1", "c2")}  # fmt: skip
    items = [USER, THOUGHT, SAID, _call("c1"), _call("c2"), RESULT]
    assert _made(*items) == [USER, answer, result]
    assert _made(_call("c1"), RESULT, _call("c1"), RESULT) == [
        {"role": "assistant", "content": "", "tool_calls": _called("c1")}, result,
    ] * 2  # fmt: skip


def test_what_cannot_follow_begins_another_message() -> None:
    said = {"role": "assistant", "content": "I look."}
    thought = {"role": "assistant", "content": "", "reasoning_content": "hm"}
    assert _made(SAID, SAID) == [said, said]
    assert _made(SAID, THOUGHT) == [said, thought]
    calls = {"role": "assistant", "content": "", "tool_calls": _called("c1")}
    assert _made(_call("c1"), SAID) == [calls, said]


def test_what_the_system_says_first_is_one_message() -> None:
    two = [{"role": role, "content": role} for role in ("developer", "system")]
    assert _made(*two, USER, two[0], instructions="first") == [
        {"role": "system", "content": "first\n\ndeveloper\n\nsystem"}, USER,
        {"role": "system", "content": "developer"},
    ]  # fmt: skip
    assert input_messages("x", "y") == [
        {"role": "system", "content": "y"}, {"role": "user", "content": "x"},
    ]  # fmt: skip


def test_a_summary_stands_for_thoughts_that_are_not_there() -> None:
    summary = [{"type": "summary_text", "text": "short"}]
    assert _made({"type": "reasoning", "summary": summary})[0]["reasoning_content"] == "short"
    assert _made({**THOUGHT, "summary": summary})[0]["reasoning_content"] == "hm"
    assert _made({"type": "reasoning", "summary": [], "encrypted_content": "x"}, USER) == [USER]


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ({"type": "item_reference", "id": "x"}, "input.0.type"),
        ({"type": "web_search_call"}, "input.0.type"),
        ({"role": "tool", "content": "x"}, "input.0.role"),
        ({"role": "user"}, "input.0.content"),
        ({"role": "user", "content": [{"type": "input_image"}]}, "input.0.content.0.type"),
        ({"type": "function_call", "name": "f"}, "input.0.arguments"),
        ({"type": "function_call", "arguments": "{}"}, "input.0.name"),
        ({"type": "function_call_output"}, "input.0.output"),
        ({"type": "reasoning", "summary": [{"type": "text"}]}, "input.0.summary.0.type"),
    ],
)
def test_what_means_nothing_is_refused_by_name(item: dict[str, Any], param: str) -> None:
    with pytest.raises(Fault) as caught:
        _made(item)
    assert (caught.value.kind, caught.value.param) == ("invalid_request", param)
