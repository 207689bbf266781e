"""Answers that have to be something, beside thoughts and calls of tools."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from played_chat import (
    CHATML,
    HERMES,
    LLAMA,
    MISTRAL,
    NAMED,
    R1,
    ROME,
    THINKS,
    TOOL,
    Chat,
    calls,
)

from halfbyte.constraints.constraint import Constraint
from halfbyte.errors import RequestError
from halfbyte.tokenizer import Tokenizer

SHAPE = Constraint("json_schema", '{"type":"object","properties":{"a":{"type":"integer"}},'
                   '"required":["a"],"additionalProperties":false}')  # fmt: skip


@pytest.mark.parametrize(
    ("template", "answer"),
    [
        (HERMES, f"<tool_call>\n{ROME}\n</tool_call>\n<tool_call>\n{ROME}\n</tool_call>"),
        (CHATML, f"<tool_call>[\n{ROME},\n{ROME}\n]</tool_call>"),
        (MISTRAL, f"[TOOL_CALLS][{ROME}, {ROME}]"),
        (NAMED, '[TOOL_CALLS]weather[ARGS]{"city": "Rome"}' * 2),
    ],
)
def test_an_answer_of_a_shape_may_be_calls_instead(
    template: str, answer: str, open_with: Callable[[str], Tokenizer]
) -> None:
    tokenizer = open_with(template)
    how: dict[str, Any] = {"tools": [TOOL], "shape": SHAPE}
    done = Chat(tokenizer, **how).says(answer)
    assert calls(done) == [("weather", {"city": "Rome"})] * 2
    assert (done.text, done.finish_reason, done.is_complete) == ("", "tool_calls", None)
    done = Chat(tokenizer, **how, parallel_tool_calls=False).says(answer)
    assert calls(done) == [("weather", {"city": "Rome"})]
    done = Chat(tokenizer, **how).says('{"a":12}')
    assert (done.text, done.tool_calls, done.is_complete) == ('{"a":12}', (), True)
    done = Chat(tokenizer, n_most=5, **how).says('{"a":1234567890}')
    assert done.text.startswith('{"a":') and done.is_complete is False
    done = Chat(tokenizer, n_most=40, **how).says("I do not know.")
    assert (done.text + '{"a":').startswith('{"a":') or done.tool_calls or done.cut_call


@pytest.mark.parametrize("tools", [None, [TOOL]])
@pytest.mark.parametrize(("template", "begin"), [(R1, ""), (THINKS, "<think>")])
def test_what_follows_thoughts_has_its_shape(
    template: str, begin: str, tools: Any, open_with: Callable[[str], Tokenizer]
) -> None:
    tokenizer = open_with(template)
    how: dict[str, Any] = {"tools": tools, "shape": SHAPE, "thinking": True}
    done = Chat(tokenizer, **how).says(f'{begin}hm {{}}\n</think>{{"a":1}}')
    assert (done.reasoning, done.text, done.is_complete) == ("hm {}", '{"a":1}', True)
    assert done.finish_reason == "stop"
    done = Chat(tokenizer, **how, reasoning_budget=2, reasoning_closing="").says(
        f"{begin}one two three four"
    )
    assert done.reasoning and not done.text.startswith("three")
    if begin:
        assert Chat(tokenizer, **how).says('{"a":1}').text == '{"a":1}'


def test_calls_that_have_to_come_or_have_no_mark_go_with_no_shape(
    open_with: Callable[[str], Tokenizer],
) -> None:
    for template, choice in ((HERMES, "required"), (LLAMA, "auto")):
        with pytest.raises(RequestError, match="nothing beside tools") as caught:
            Chat(open_with(template), tools=[TOOL], tool_choice=choice, shape=SHAPE)
        assert caught.value.param == "json_schema"
