"""Answers in OpenAI's shapes."""

from __future__ import annotations

from typing import Any

import openai

import halfbyte
from halfbyte.generation.chat_completion import ChatCompletion
from halfbyte.generation.completion import Stats
from halfbyte.server.openai.chat_shapes import n_reasoning_tokens
from halfbyte.server.served_model import ServedModel
from tests.runtime.server.openai.chatting import SHORT, USER


def test_probabilities_have_openai_s_shape(
    chatter: openai.OpenAI, tools_model: halfbyte.Model
) -> None:
    how: Any = {"model": "calls", "messages": USER, "logprobs": True, "top_logprobs": 2, **SHORT}
    got: Any = chatter.chat.completions.create(**how).choices[0].logprobs
    expected: Any = tools_model.chat(USER, logprobs=2, **SHORT).logprobs
    assert [(one.bytes, one.logprob) for one in got.content] == [
        (list(one.bytes), one.logprob) for one in expected
    ]
    assert [[bytes(top.bytes) for top in one.top_logprobs] for one in got.content] == [
        [top.bytes for top in one.top] for one in expected
    ]
    streamed = [
        one
        for chunk in chatter.chat.completions.create(stream=True, **how)
        for one in (chunk.choices[0].logprobs.content if chunk.choices[0].logprobs else None) or ()
    ]
    assert streamed == got.content


def test_thoughts_come_apart_and_go_back(
    chatter: openai.OpenAI, thinking_model: halfbyte.Model
) -> None:
    how: Any = {"model": "thinks", "messages": USER, "max_tokens": 60, "temperature": 0}
    extra = {"extra_body": {"reasoning_budget": 6}}
    got: Any = chatter.chat.completions.create(**how, **extra)
    expected = thinking_model.chat(USER, max_tokens=60, temperature=0, reasoning_budget=6)
    message = got.choices[0].message
    assert expected.reasoning and expected.text
    assert (message.reasoning_content, message.content) == (expected.reasoning, expected.text)
    n_thought = got.usage.completion_tokens_details.reasoning_tokens
    shown = thinking_model.tokenizer.decode(expected.tokens[:n_thought])
    assert shown.strip().endswith(expected.reasoning)
    deltas: list[Any] = [
        chunk.choices[0].delta
        for chunk in chatter.chat.completions.create(stream=True, **how, **extra)
    ]
    thoughts = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
    assert thoughts == expected.reasoning
    assert "".join(delta.content or "" for delta in deltas) == expected.text
    again: Any = [*USER, message.model_dump(), *USER]
    got = chatter.chat.completions.create(**{**how, "messages": again}, **extra)
    expected = thinking_model.chat(
        [*USER, expected.message, *USER], max_tokens=60, temperature=0, reasoning_budget=6
    )
    assert got.choices[0].message.content == expected.text


def test_a_prediction_that_comes_true_is_counted(
    chatter: openai.OpenAI, tools_model: halfbyte.Model
) -> None:
    expected = tools_model.chat(USER, **SHORT)
    told: Any = {"type": "content", "content": expected.text}
    for _ in range(30):  # guesses are made where steps as measured say that they pay
        got: Any = chatter.chat.completions.create(
            model="calls", messages=USER, prediction=told, **SHORT
        )
        assert got.choices[0].message.content == expected.text
        told_of = got.usage.completion_tokens_details
        if told_of.accepted_prediction_tokens + told_of.rejected_prediction_tokens >= 5:
            break
    assert told_of.accepted_prediction_tokens > 0
    assert told_of.accepted_prediction_tokens + told_of.rejected_prediction_tokens >= 5


def test_thoughts_that_end_within_a_character_are_counted(served_tools: ServedModel) -> None:
    """Its first byte is one token, and three bytes as the text that stands for it."""
    byte = served_tools.model.tokenizer.id_of("<0xC3>")
    assert byte is not None
    done = ChatCompletion(
        text="", tokens=[byte], finish_reason="length", stats=Stats(1, 0.0, 0, 0.0),
        reasoning="\ufffd",
    )  # fmt: skip
    assert n_reasoning_tokens(served_tools, done) == 1
