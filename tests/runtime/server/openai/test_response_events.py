"""Streams of responses, event by event."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import openai
import pytest

import halfbyte
from halfbyte.generation.chat_completion import ToolCall
from halfbyte.server.openai.response_events import ResponseEvents
from halfbyte.server.openai.response_fields import ResponseFields
from halfbyte.server.openai.response_shapes import response_shell
from halfbyte.server.served_model import ServedModel
from halfbyte.server.server_settings import ServerSettings
from halfbyte.server.shelf import Shelf
from tests.runtime.server.conftest import serving
from tests.runtime.server.openai.chatting import TOOLS, USER, Played, events_of, played

TEXT = USER[0]["content"]
LONG: dict[str, Any] = {"temperature": 0, "max_output_tokens": 60}
FLAT: Any = [{"type": "function", **tool["function"]} for tool in TOOLS]
BEGUN = ["response.created", "response.in_progress"]


def _kinds(events: list[Any]) -> list[str]:
    """The types, several deltas in a row as one; and the numbers are right."""
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type for event in events]
    return [kind for i, kind in enumerate(kinds) if i == 0 or kind != kinds[i - 1]]


def _item(*inner: str) -> list[str]:
    return ["response.output_item.added", *(f"response.{kind}" for kind in inner),
            "response.output_item.done"]  # fmt: skip


MESSAGE = _item("content_part.added", "output_text.delta", "output_text.done", "content_part.done")
CALL = _item("function_call_arguments.delta", "function_call_arguments.done")
THOUGHTS = _item(
    "content_part.added", "reasoning_text.delta", "reasoning_text.done", "content_part.done"
)
SUMMARY = _item(
    "reasoning_summary_part.added", "reasoning_summary_text.delta",
    "reasoning_summary_text.done", "reasoning_summary_part.done",
)  # fmt: skip


def test_a_text_comes_in_order(chatter: openai.OpenAI) -> None:
    how: Any = {"model": "calls", "input": TEXT, "temperature": 0}
    events: Any = list(chatter.responses.create(stream=True, max_output_tokens=9, **how))
    assert _kinds(events) == [*BEGUN, *MESSAGE, "response.incomplete"]
    whole = chatter.responses.create(max_output_tokens=9, **how)
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    done = events[-1].response
    assert whole.output_text == text == events[-4].text == done.output_text
    assert done.output[0].status == "incomplete"
    counted = [(one.usage.input_tokens, one.usage.output_tokens) for one in (done, whole)]
    assert counted[0] == counted[1] and whole.usage.output_tokens == 9
    assert len({event.item_id for event in events if hasattr(event, "item_id")}) == 1


def test_calls_come_whole(chatter: openai.OpenAI) -> None:
    how: Any = {"model": "calls", "input": TEXT, "tools": FLAT, "tool_choice": "required", **LONG}
    events: Any = list(chatter.responses.create(stream=True, **how))
    whole = chatter.responses.create(**how)
    n = len(whole.output)
    assert n >= 1 and _kinds(events) == [*BEGUN, *CALL * n, "response.completed"]
    streamed = events[-1].response.output
    assert [(item.call_id, item.arguments) for item in streamed] == [
        (item.call_id, item.arguments)
        for item in whole.output  # type: ignore[union-attr]
    ]
    assert events[2].item.arguments == "" and events[2].item.status == "in_progress"


@pytest.mark.parametrize(("summary", "thoughts"), [(None, THOUGHTS), ("auto", SUMMARY)])
def test_thoughts_come_before_the_text(
    summary: Any, thoughts: list[str], chatter: openai.OpenAI, thinking_model: halfbyte.Model
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("halfbyte.server.openai.chat_asking.BUDGETS", {"low": 6})
        how: Any = {"model": "thinks", "input": TEXT,
                    "reasoning": {"effort": "low", "summary": summary}, **LONG}  # fmt: skip
        events: Any = list(chatter.responses.create(stream=True, **how))
        whole: Any = chatter.responses.create(**how)
    assert _kinds(events) == [*BEGUN, *thoughts, *MESSAGE, "response.incomplete"]
    expected = thinking_model.chat(USER, temperature=0, max_tokens=60, reasoning_budget=6)
    last = events[-1].response
    assert last.output_text == expected.text == whole.output_text
    assert last.output[0].model_dump(exclude={"id"}) == whole.output[0].model_dump(exclude={"id"})
    deltas = [event.delta for event in events if event.type.endswith(".delta") and "reas"
              in event.type]  # fmt: skip
    assert "".join(deltas) == expected.reasoning


def test_what_fails_on_its_way_is_told(chatting: Shelf) -> None:
    """An answer that takes longer than the server allows, here and in a chat."""
    how: Any = {"model": "calls", "stream": True}
    with (
        serving(chatting, ServerSettings(timeout=0.02)) as url,
        openai.OpenAI(
            base_url=f"{url}/v1", api_key="none", max_retries=0,
            http_client=httpx.Client(trust_env=False),
        ) as client,
    ):  # fmt: skip
        events: Any = list(client.responses.create(input=TEXT, **how))
        assert _kinds(events)[-2:] == ["error", "response.failed"]
        assert events[-2].code == events[-1].response.error.code == "timeout"
        assert events[-1].response.status == "failed" and events[-2].message
        with pytest.raises(openai.APIError) as caught:
            list(client.chat.completions.create(messages=USER, **how))
        assert caught.value.code == "timeout"


def test_text_after_a_call_is_another_message(served_tools: ServedModel) -> None:
    calls = [ToolCall("c1", "count", {"n": 1}), ToolCall("c2", "add", {"of": "é"})]
    done = played("I look.\nAnd", *calls)
    answer: Any = Played(
        done,
        ([("content", "I look."), ("tool_call", "{")], 0),
        ([("tool_call", "}")], 0),
        ([("content", "\nAnd")], 1),  # only now it is known where the call ended
        ([("tool_call", "{}")], 1),
    )
    asked = ResponseFields.model_validate({"input": "x", "tools": FLAT, "stream": True})
    shell = response_shell(served_tools, asked, "r", 1)
    events = events_of(ResponseEvents(served_tools, shell, asked, "r").events(answer))
    kinds = [event["type"] for event in events]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert kinds == [*BEGUN, *MESSAGE, *CALL, *MESSAGE, *CALL, "response.completed"]
    output = events[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["message", "function_call"] * 2
    done_items = [event["item"] for event in events if event["type"].endswith("item.done")]
    assert done_items == output and len({item["id"] for item in output}) == 4
    assert [item["content"][0]["text"] for item in output[::2]] == ["I look.", "\nAnd"]
    whole = asyncio.run(ResponseEvents(served_tools, shell, asked, "r").whole(answer))
    assert whole == events[-1]["response"]  # for who does not stream
