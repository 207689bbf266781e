"""From the fields of a chat to what the library is asked; what means nothing is refused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import httpx
import openai
import pytest

import halfbyte
from halfbyte.server.openai.chat_asking import chat_ask, thinking_options
from halfbyte.server.openai.chat_fields import ChatFields
from halfbyte.server.served_model import ServedModel
from tests.runtime.server.openai.chatting import FUNCTION, SHORT, TOOLS, USER


def test_efforts_switch_thoughts_and_bound_them(
    chatter: openai.OpenAI, thinking_model: halfbyte.Model
) -> None:
    how: Any = {"model": "thinks", "messages": USER, **SHORT}
    off = thinking_model.chat(USER, thinking=False, **SHORT)
    on = thinking_model.chat(USER, thinking=True, reasoning_budget=1024, **SHORT)
    assert on.tokens != off.tokens
    for given in (
        {"reasoning_effort": "none"},
        {"extra_body": {"chat_template_kwargs": {"enable_thinking": False}}},
    ):
        got: Any = chatter.chat.completions.create(**how, **given)
        assert got.choices[0].message.content == off.text
    got = chatter.chat.completions.create(**how, reasoning_effort="low")
    assert got.choices[0].message.reasoning_content == on.reasoning


def test_an_end_may_be_ignored(chatter: openai.OpenAI, tools_model: halfbyte.Model) -> None:
    eog = tools_model.tokenizer.eog_ids
    likely = dict.fromkeys(eog, 100)
    how: Any = {"model": "calls", "messages": USER, "logit_bias": likely, **SHORT}
    assert chatter.chat.completions.create(**how).choices[0].finish_reason == "stop"
    got = chatter.chat.completions.create(**how, extra_body={"ignore_eos": True})
    expected = tools_model.chat(USER, logit_bias=dict.fromkeys(eog, float("-inf")), **SHORT)
    assert got.choices[0].finish_reason == "length"
    assert got.choices[0].message.content == expected.text


def test_an_effort_of_who_never_thinks_is_nothing(
    chatter: openai.OpenAI, tools_model: halfbyte.Model
) -> None:
    extra: Any = {"prediction": {"type": "content", "content": "x"}, "reasoning_effort": "high"}
    got = chatter.chat.completions.create(model="calls", messages=USER, **SHORT, **extra)
    assert got.choices[0].message.content == tools_model.chat(USER, **SHORT).text


@pytest.mark.parametrize(
    ("effort", "told"),
    [
        ("low", {"reasoning_effort": "low"}), ("high", {"reasoning_effort": "high"}),
        ("xhigh", {"reasoning_effort": "high"}), ("none", {"thinking": False}), (None, {}),
    ],
)  # fmt: skip
def test_a_template_that_reads_an_effort_is_told_it(
    effort: str | None, told: dict[str, Any]
) -> None:
    model: Any = SimpleNamespace(can_think=True, reads_effort=True, has_switch=False)
    assert thinking_options(model, effort) == told
    model.reads_effort = False
    assert "reasoning_effort" not in thinking_options(model, effort)


def test_who_has_no_template_says_so(chatter: openai.OpenAI) -> None:
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as caught:
            chatter.chat.completions.create(model="infill-10m", messages=USER, stream=stream)
        assert caught.value.param == "model" and "chat template" in str(caught.value)


def test_allowed_tools_leave_some(chatter: openai.OpenAI, tools_model: halfbyte.Model) -> None:
    strict = [{"type": "function", "function": {**tool["function"], "strict": True}}
              for tool in TOOLS]  # fmt: skip
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "add"}}]}
    how: Any = {"max_tokens": 80, "temperature": 0}
    got = chatter.chat.completions.create(
        model="calls", messages=USER, tools=strict, parallel_tool_calls=False,
        tool_choice={"type": "allowed_tools", "allowed_tools": allowed}, **how,
    )  # type: ignore[call-overload]  # fmt: skip
    expected = tools_model.chat(USER, tools=TOOLS[1:], tool_choice="required", **how)
    calls = got.choices[0].message.tool_calls
    assert [call.id for call in calls] == [call.id for call in expected.tool_calls][:1]


PART = {"type": "image_url", "image_url": {"url": "x"}}
CALLS = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{"}}]
JSON = {"type": "json_schema", "json_schema": {"name": "p", "schema": {"type": "odd"}}}
BAD: list[tuple[dict[str, Any], str]] = [
    ({"messages": []}, "messages"),
    ({"messages": "hi"}, "messages"),
    ({"messages": [{"role": "function", "content": "x"}]}, "messages.0.role"),
    ({"messages": [{"role": "user"}]}, "messages.0.content"),
    ({"messages": [{"role": "user", "content": [PART]}]}, "messages.0.content.0.type"),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages.0.content.0.text"),
    ({"messages": [*USER, {"role": "assistant", "tool_calls": CALLS}]}, "messages.1"),
    ({"max_tokens": -1}, "max_tokens"),
    ({"max_completion_tokens": True}, "max_completion_tokens"),
    ({"n_predict": -3}, "n_predict"),
    ({"n": 0}, "n"),
    ({"n": 17}, "n"),
    ({"temperature": 2.5}, "temperature"),
    ({"seed": 1.5}, "seed"),
    ({"stop": ["a"] * 65}, "stop"),
    ({"stop": ""}, "stop"),
    ({"logit_bias": {"99999999": 1}}, "logit_bias"),
    ({"logit_bias": {"5": 2000}}, "logit_bias"),
    ({"logit_bias": [[5]]}, "logit_bias"),
    ({"top_logprobs": 3}, "top_logprobs"),
    ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
    ({"response_format": {"type": "xml"}}, "response_format.type"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema.schema"),
    ({"response_format": JSON}, "response_format"),
    ({"tools": [{"type": "function"}]}, "tools.0"),
    ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools.0"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tools": TOOLS, "tool_choice": {"type": "custom"}}, "tool_choice.type"),
    ({"tools": TOOLS, "tool_choice": "other"}, "tool_choice"),
    ({"functions": [FUNCTION]}, "functions"),
    ({"reasoning_effort": "huge"}, "reasoning_effort"),
    ({"chat_template_kwargs": {"reasoning_effort": "high"}}, "reasoning_effort"),
    ({"modalities": ["audio"]}, "modalities.0"),
    ({"prediction": {"content": [PART]}}, "prediction.content.0.type"),
    ({"samplers": ["magic"]}, "samplers"),
    ({"repeat_penalty": 0}, "repeat_penalty"),
    ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
    ({"messages": [{"role": "user", "content": "x " * 3000}]}, "messages"),
]  # fmt: skip


def test_bad_fields_are_named(post: httpx.Client) -> None:
    for i, (fields, param) in enumerate(BAD):
        body = {"model": "calls", "messages": USER, "max_tokens": 1, "stream": i % 2 == 0, **fields}
        answer = post.post("/v1/chat/completions", json=body)
        error = answer.json()["error"]
        assert (answer.status_code, error["param"]) == (400, param), (fields, error)
        assert error["type"] == "invalid_request_error" and error["message"]


def test_a_format_goes_with_tools_and_after_thoughts(
    chatter: openai.OpenAI, tools_model: halfbyte.Model, thinking_model: halfbyte.Model
) -> None:
    """As the Agents SDK asks: tools and the type of the last answer, with every request."""
    schema = {"enum": ["yes", "no"]}
    form: Any = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    how: Any = {"max_tokens": 60, "temperature": 0}
    for choice, options in (("auto", {"json_schema": schema}), ("required", {})):
        got: Any = chatter.chat.completions.create(
            model="calls",
            messages=USER,
            tools=TOOLS,
            tool_choice=choice,
            response_format=form,
            **how,
        )
        expected = tools_model.chat(USER, tools=TOOLS, tool_choice=choice, **options, **how)
        assert got.choices[0].message.content == (expected.text or None)
        calls = got.choices[0].message.tool_calls or []
        assert [call.id for call in calls] == [call.id for call in expected.tool_calls]
        assert calls or expected.text in ('"yes"', '"no"')
    got = chatter.chat.completions.create(
        model="thinks", messages=USER, response_format=form, extra_body={"reasoning_budget": 3},
        **how,
    )  # fmt: skip
    assert got.choices[0].message.content in ('"yes"', '"no"')
    assert got.choices[0].message.reasoning_content


def test_fields_become_keywords(served_tools: ServedModel) -> None:
    body = {
        "messages": USER, "tools": TOOLS, "parallel_tool_calls": False, "n_predict": 5, "n": 2,
        "seed": -1, "prediction": {"type": "content", "content": [{"type": "text", "text": "x"}]},
    }  # fmt: skip
    ask = chat_ask(served_tools, ChatFields.model_validate(body))
    assert ask.options == {
        "tools": TOOLS, "parallel_tool_calls": False, "max_tokens": 5, "prediction": "x",
    }  # fmt: skip
    assert (ask.method, ask.arguments, ask.n) == ("chat", (USER,), 2)
    body = {"messages": USER, "max_tokens": 3, "max_completion_tokens": 4, "tool_choice": "none"}
    ask = chat_ask(served_tools, ChatFields.model_validate(body))
    assert ask.options == {"max_tokens": 4, "tool_choice": "none"} and ask.n is None
    ask = chat_ask(served_tools, ChatFields.model_validate({"messages": USER, "n_predict": -1}))
    assert ask.options == {"max_tokens": served_tools.model.n_ctx}
