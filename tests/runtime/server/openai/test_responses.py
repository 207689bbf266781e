"""`/v1/responses` gives what `Model.chat` gives, through OpenAI's own clients."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import openai
import pydantic
import pytest

import halfbyte
from tests.runtime.server.openai.chatting import FUNCTION, TOOLS, USER

TEXT = USER[0]["content"]
SHORT: dict[str, Any] = {"temperature": 0, "max_output_tokens": 12}
LONG: dict[str, Any] = {"temperature": 0, "max_output_tokens": 80}
FLAT: Any = [{"type": "function", **tool["function"]} for tool in TOOLS]


class Point(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    x: int = pydantic.Field(ge=1, le=9)


def test_an_answer_is_the_library_s(chatter: openai.OpenAI, tools_model: halfbyte.Model) -> None:
    system: Any = [{"role": "system", "content": "Be short.\n\nAnd kind."}, *USER]
    expected = tools_model.chat(system, temperature=0, max_tokens=12)
    given: Any = [{"role": "developer", "content": "And kind."},
                  {"role": "user", "content": [{"type": "input_text", "text": TEXT}]}]  # fmt: skip
    got = chatter.responses.create(
        model="calls", input=given, instructions="Be short.", metadata={"a": "b"}, **SHORT
    )
    assert got.output_text == expected.text
    assert got.status == "incomplete" and got.incomplete_details is not None
    assert got.incomplete_details.reason == "max_output_tokens" and got.metadata == {"a": "b"}
    assert got.usage is not None and got.usage.output_tokens == 12
    assert got.usage.input_tokens == expected.stats.n_prompt
    assert (got.instructions, got.temperature, got.error) == ("Be short.", 0, None)


def test_a_conversation_of_calls_goes_on(
    chatter: openai.OpenAI, tools_model: halfbyte.Model
) -> None:
    choice: Any = {"type": "function", "name": "add"}
    got = chatter.responses.create(
        model="calls", input=TEXT, tools=FLAT, tool_choice=choice, store=False, **LONG
    )
    expected = tools_model.chat(USER, tools=TOOLS, tool_choice="add", temperature=0, max_tokens=80)
    call: Any = got.output[0]
    assert got.status == "completed" and len(got.output) == 1
    assert (call.type, call.call_id, call.name, json.loads(call.arguments)) == (
        "function_call", expected.tool_calls[0].id, "add", expected.tool_calls[0].arguments,
    )  # fmt: skip
    after: Any = [*USER, *(item.model_dump() for item in got.output),
             {"type": "function_call_output", "call_id": call.call_id, "output": "7"}]  # fmt: skip
    again = chatter.responses.create(model="calls", input=after, tools=FLAT, **SHORT)
    result = {"role": "tool", "tool_call_id": expected.tool_calls[0].id, "content": "7"}
    messages = [*USER, expected.message, result]
    text = tools_model.chat(messages, tools=TOOLS, temperature=0, max_tokens=12).text
    assert again.output_text == text


def test_the_client_s_parser_reads_it(chatter: openai.OpenAI) -> None:
    parsed = chatter.responses.parse(model="calls", input=TEXT, text_format=Point, **LONG)
    assert isinstance(parsed.output_parsed, Point) and parsed.status == "completed"
    with chatter.responses.stream(model="calls", input=TEXT, text_format=Point, **LONG) as stream:
        for _ in stream:
            pass
        assert stream.get_final_response().output_parsed == parsed.output_parsed
    strict: Any = [{"type": "function", **FUNCTION, "strict": True}]
    with chatter.responses.stream(
        model="calls", input=TEXT, tools=strict, tool_choice="required", **LONG
    ) as stream:
        kinds = [event.type for event in stream]
        call: Any = stream.get_final_response().output[0]
    assert call.parsed_arguments.keys() == {"n", "of"}
    assert "response.function_call_arguments.delta" in kinds


def test_the_async_client_streams_the_same(chat_url: str, tools_model: halfbyte.Model) -> None:
    async def ask() -> tuple[Any, list[Any]]:
        async with openai.AsyncOpenAI(
            base_url=f"{chat_url}/v1", api_key="none",
            http_client=httpx.AsyncClient(trust_env=False),
        ) as client:  # fmt: skip
            how: Any = {"model": "calls", "input": TEXT, **SHORT}
            whole = await client.responses.create(**how)
            return whole, [event async for event in await client.responses.create(
                stream=True, **how)]  # fmt: skip

    whole, events = asyncio.run(ask())
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert whole.output_text == text == tools_model.chat(USER, temperature=0, max_tokens=12).text
    assert events[-1].response.output_text == text


@pytest.mark.parametrize("summary", [None, "auto"])
def test_thoughts_are_an_item(
    summary: Any, chatter: openai.OpenAI, thinking_model: halfbyte.Model
) -> None:
    how: Any = {"model": "thinks", "input": TEXT, **SHORT}
    got: Any = chatter.responses.create(reasoning={"effort": "low", "summary": summary}, **how)
    expected = thinking_model.chat(USER, temperature=0, max_tokens=12, reasoning_budget=1024)
    item = got.output[0]
    assert item.type == "reasoning" and len(got.output) == 1
    shown = item.summary if summary else item.content
    assert [part.text for part in shown] == [expected.reasoning] and expected.reasoning
    assert got.usage.output_tokens_details.reasoning_tokens > 8
    off = chatter.responses.create(reasoning={"effort": "none"}, **how)
    expected = thinking_model.chat(USER, temperature=0, max_tokens=12, thinking=False)
    assert off.output_text == expected.text
    thought = {"type": "reasoning", "summary": [],
               "content": [{"type": "reasoning_text", "text": "hm"}]}  # fmt: skip
    again = [*USER, thought, {"role": "assistant", "content": "No."}, *USER]
    got = chatter.responses.create(**{**how, "input": again, "reasoning": {"effort": "none"}})
    answer: Any = {"role": "assistant", "content": "No.", "reasoning_content": "hm"}
    expected = thinking_model.chat(
        [*USER, answer, *USER], temperature=0, max_tokens=12, thinking=False
    )
    assert got.output_text == expected.text


def test_probabilities_are_told_where_they_are_included(
    chatter: openai.OpenAI, tools_model: halfbyte.Model
) -> None:
    how: Any = {"model": "calls", "input": TEXT, "top_logprobs": 1,
                "include": ["message.output_text.logprobs"], **SHORT}  # fmt: skip
    got: Any = chatter.responses.create(**how)
    expected: Any = tools_model.chat(USER, temperature=0, max_tokens=12, logprobs=1).logprobs
    told = got.output[0].content[0].logprobs
    assert [one.logprob for one in told] == [one.logprob for one in expected]
    last: Any = list(chatter.responses.create(stream=True, **how))[-1]
    assert last.response.output[0].content[0].logprobs == told
