"""Functions of a namespace are called by both names, which a call's item tells apart."""

from __future__ import annotations

from typing import Any

import openai

import halfbyte
from tests.runtime.server.openai.chatting import FUNCTION, USER

TOOL = {"type": "function", **FUNCTION}
GROUP = {"type": "namespace", "name": "stars", "description": "Of stars.", "tools": [TOOL]}


def test_a_grouped_function_is_called(chatter: openai.OpenAI, tools_model: halfbyte.Model) -> None:
    named = [{"type": "function", "function": {**FUNCTION, "name": "stars.count"}}]
    how: Any = {"temperature": 0, "tool_choice": "required"}
    asked: Any = {**how, "model": "calls", "input": USER, "max_output_tokens": 80}
    [call] = tools_model.chat(USER, tools=named, max_tokens=80, parallel_tool_calls=False,
                              **how).tool_calls  # fmt: skip
    asked |= {"tools": [GROUP], "parallel_tool_calls": False}
    [item] = chatter.responses.create(**asked).output
    events = list(chatter.responses.create(**asked, stream=True))
    told: Any = [event for event in events if event.type == "response.output_item.done"]
    for one in (item, told[0].item):
        assert (one.name, one.namespace, one.call_id) == ("count", "stars", call.id)


def test_its_calls_are_read_again(chatter: openai.OpenAI, tools_model: halfbyte.Model) -> None:
    call = {"type": "function_call", "call_id": "1", "name": "count", "arguments": '{"n": 3}'}
    said: Any = [*USER, {**call, "namespace": "stars"},
                 {"type": "function_call_output", "call_id": "1", "output": "7"}]  # fmt: skip
    got = chatter.responses.create(model="calls", input=said, temperature=0, max_output_tokens=12)
    function = {"name": "stars.count", "arguments": '{"n": 3}'}
    messages: Any = [
        *USER,
        {"role": "assistant", "content": "",
         "tool_calls": [{"id": "1", "type": "function", "function": function}]},
        {"role": "tool", "content": "7", "tool_call_id": "1"},
    ]  # fmt: skip
    done = tools_model.chat(messages, temperature=0, max_tokens=12)
    assert got.output_text == done.text
    assert got.usage is not None and got.usage.input_tokens == done.stats.n_prompt
