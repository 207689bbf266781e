"""`/v1/chat/completions` gives what `Model.chat` gives, through OpenAI's own clients."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import openai
import pydantic
import pytest

import halfbyte
from tests.runtime.server.openai.chatting import FUNCTION, SHORT, TOOLS, USER


class Point(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    x: int = pydantic.Field(ge=1, le=9)
    y: int = pydantic.Field(ge=1, le=9)


def test_an_answer_is_the_library_s(chatter: openai.OpenAI, tools_model: halfbyte.Model) -> None:
    got = chatter.chat.completions.create(model="calls", messages=USER, **SHORT)
    expected = tools_model.chat(USER, **SHORT)
    choice = got.choices[0]
    assert (choice.message.content, choice.finish_reason) == (expected.text, "length")
    assert choice.message.tool_calls is None and choice.logprobs is None
    assert got.usage is not None and got.object == "chat.completion"
    assert got.usage.prompt_tokens == expected.stats.n_prompt
    assert got.usage.completion_tokens == len(expected.tokens) == 12
    assert got.system_fingerprint and got.id.startswith("chatcmpl-")


def test_the_async_client_gets_the_same(chat_url: str, tools_model: halfbyte.Model) -> None:
    async def ask() -> tuple[Any, list[Any]]:
        async with openai.AsyncOpenAI(
            base_url=f"{chat_url}/v1", api_key="none",
            http_client=httpx.AsyncClient(trust_env=False),
        ) as client:  # fmt: skip
            how: Any = {"model": "calls", "messages": USER, **SHORT}
            whole, stream = await asyncio.gather(
                client.chat.completions.create(**how),
                client.chat.completions.create(**how, stream=True),
            )
            return whole, [chunk async for chunk in stream]

    whole, chunks = asyncio.run(ask())
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert whole.choices[0].message.content == text == tools_model.chat(USER, **SHORT).text


def test_what_is_drawn_is_drawn_alike(chatter: openai.OpenAI, tools_model: halfbyte.Model) -> None:
    how: dict[str, Any] = {"seed": 5, "top_p": 0.9, "max_tokens": 8, "presence_penalty": 0.5}
    extra = {"min_p": 0.1, "top_k": 20, "samplers": ["min_p", "temperature"], "repeat_last_n": -1,
             "repeat_penalty": 1.1}  # fmt: skip
    got = chatter.chat.completions.create(
        model="calls", messages=USER, n=2, temperature=1.1, logit_bias={"40": -100, "12": 2},
        stop=["zz"], extra_body=extra, **how,
    )  # fmt: skip
    expected = tools_model.chat(
        USER, n=2, temperature=1.1, logit_bias={40: -100, 12: 2}, stop=["zz"], min_p=0.1, top_k=20,
        samplers=["min_p", "temperature"], penalty_window=None, repetition_penalty=1.1, **how,
    )  # fmt: skip
    assert [c.message.content for c in got.choices] == [one.text for one in expected]
    assert [c.index for c in got.choices] == [0, 1]


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "add"}}])
def test_calls_are_made_and_answered(
    choice: Any, chatter: openai.OpenAI, tools_model: halfbyte.Model
) -> None:
    how: Any = {"temperature": 0, "max_tokens": 80, "tools": TOOLS, "tool_choice": choice}
    got = chatter.chat.completions.create(model="calls", messages=USER, **how).choices[0]
    expected = tools_model.chat(USER, **how)
    assert got.finish_reason == expected.finish_reason == "tool_calls"
    calls: Any = got.message.tool_calls
    told = [(c.id, c.function.name, json.loads(c.function.arguments)) for c in calls]
    assert told == [(c.id, c.name, c.arguments) for c in expected.tool_calls]
    message = got.message.model_dump()  # what clients send back, nulls and all
    result = {"role": "tool", "tool_call_id": calls[0].id, "content": [
        {"type": "text", "text": "3"}, {"type": "text", "text": "4"}]}  # fmt: skip
    after = chatter.chat.completions.create(
        model="calls", messages=[*USER, message, result], tools=TOOLS, **SHORT
    )
    rest = [expected.message, {**result, "content": "3\n4"}]
    text = tools_model.chat([*USER, *rest], tools=TOOLS, **SHORT).text
    assert after.choices[0].message.content == text


def test_the_client_s_helpers_read_it(chatter: openai.OpenAI) -> None:
    how: Any = {"model": "calls", "messages": USER, "max_tokens": 60, "temperature": 0}
    parsed = chatter.chat.completions.parse(response_format=Point, **how).choices[0].message.parsed
    assert isinstance(parsed, Point)
    strict = [{"type": "function", "function": {**FUNCTION, "strict": True}}]
    with chatter.chat.completions.stream(tools=strict, tool_choice="required", **how) as stream:
        kinds = [event.type for event in stream]
        final: Any = stream.get_final_completion().choices[0].message
    assert final.tool_calls[0].function.parsed_arguments.keys() == {"n", "of"}
    assert "tool_calls.function.arguments.done" in kinds
    with chatter.chat.completions.stream(response_format=Point, **how) as stream:
        *_, last = stream
    assert last.type == "chunk" or last.type == "content.done"
    assert stream.get_final_completion().choices[0].message.parsed == parsed


def test_a_format_is_enforced(chatter: openai.OpenAI, tools_model: halfbyte.Model) -> None:
    schema = Point.model_json_schema()
    loose: Any = {"type": "json_schema", "json_schema": {"name": "p", "schema": schema}}
    how: Any = {"temperature": 0, "max_tokens": 60}
    for form in (loose, {"type": "json_object", "schema": schema}):
        got = chatter.chat.completions.create(
            model="calls", messages=USER, response_format=form, **how
        ).choices[0]
        assert got.message.content == tools_model.chat(USER, json_schema=schema, **how).text
        assert got.finish_reason == "stop"
    got = chatter.chat.completions.create(
        model="calls", messages=USER, response_format={"type": "json_object"}, **how
    ).choices[0]
    expected = tools_model.chat(USER, json_schema={"type": "object"}, **how)
    assert got.message.content == expected.text


def test_editors_warm_up_and_read_timings(post: httpx.Client) -> None:
    """As llama.vim and llama.vscode do."""
    said = "Have this known before it is asked: one two three four five six."
    body = {"id_slot": 7, "messages": [{"role": "user", "content": said}], "min_p": 0.1,
            "temperature": 0.1, "cache_prompt": True, "model": "calls"}  # fmt: skip
    warm = {**body, "samplers": [], "n_predict": 0, "stream": False, "response_fields": [""]}
    answer = post.post("/v1/chat/completions", json=warm)
    assert answer.status_code == 200
    warmed = answer.json()
    assert warmed["usage"]["completion_tokens"] == 0
    assert warmed["choices"][0]["message"]["content"] == ""
    body |= {"samplers": ["min_p", "temperature"], "stream": True, "max_tokens": 5}
    lines = [
        json.loads(line.removeprefix("data: "))
        for line in post.post("/v1/chat/completions", json=body).text.split("\n\n")
        if line and "[DONE]" not in line
    ]
    timings = lines[-1]["timings"]
    assert (timings["predicted_n"], timings["prompt_n"]) == (5, 1)
    assert timings["cache_n"] == warmed["usage"]["prompt_tokens"] - 1
    assert isinstance(lines[1]["choices"][0]["delta"]["content"], str)
