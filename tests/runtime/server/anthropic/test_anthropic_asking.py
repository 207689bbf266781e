"""What a body asks for, in the library's keywords."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest

from halfbyte.errors import ContextLengthError, UnsupportedModelError
from halfbyte.server.anthropic.anthropic_asking import anthropic_errors, message_ask
from halfbyte.server.anthropic.anthropic_fields import MessageFields
from halfbyte.server.fault import Fault
from halfbyte.server.served_model import ServedModel

if TYPE_CHECKING:
    from halfbyte.server.exchange import Exchange


class Thinker(ServedModel):
    """As much of a model as it takes."""

    def __init__(self, *, can_think: bool = True, has_switch: bool = True) -> None:
        self.name = "thinker"
        self.can_think, self.has_switch = can_think, has_switch  # type: ignore[misc]


def options(model: ServedModel | None = None, **body: Any) -> dict[str, Any]:
    asked = {"max_tokens": 5, "messages": [{"role": "user", "content": "a"}], **body}
    fields = MessageFields.model_validate(asked)
    ask = asyncio.run(
        message_ask(cast("Exchange", None), model or Thinker(can_think=False), fields)
    )
    assert ask.method == "chat" and ask.n is None
    return ask.options


def test_only_what_is_given_is_passed_on() -> None:
    assert options() == {"max_tokens": 5}
    assert options(temperature=0.5, top_p=0.9, top_k=0, stop_sequences=["x"]) == {
        "max_tokens": 5, "temperature": 0.5, "top_p": 0.9, "top_k": 0, "stop": ["x"],
    }  # fmt: skip
    assert options(temperature=None, stop_sequences=[], system=None, tools=[]) == {"max_tokens": 5}


def test_tools_are_functions() -> None:
    schema = {"type": "object", "properties": {}}
    tools = [{"name": "a", "description": "b", "input_schema": schema}, {"name": "c"}]
    made = options(tools=tools, tool_choice={"type": "any", "disable_parallel_tool_use": True})
    functions = [{"name": "a", "description": "b"}, {"name": "c"}]
    assert made["tools"] == [
        {"type": "function", "function": {**one, "parameters": schema}} for one in functions
    ]
    assert made["tool_choice"] == "required" and made["parallel_tool_calls"] is False
    assert options(tools=tools, tool_choice={"type": "tool", "name": "c"})["tool_choice"] == "c"
    quiet = options(tools=tools, tool_choice={"type": "auto", "disable_parallel_tool_use": False})
    assert quiet["tool_choice"] == "auto" and "parallel_tool_calls" not in quiet


@pytest.mark.parametrize(
    ("choice", "tools", "said"),
    [
        ({"type": "any"}, [], "tool_choice: expected tools to choose from, got 'any' without any"),
        ({"type": "tool", "name": "a"}, [], "got 'tool' without any"),
        ({"type": "tool", "name": "b"}, ["a"], "tool_choice.name: expected one of a, got 'b'"),
        ({"type": "tool"}, ["a"], "tool_choice.name: expected the name of one of the tools"),
    ],
)
def test_a_choice_of_none_is_told_in_its_own_words(choice: Any, tools: Any, said: str) -> None:
    with pytest.raises(Fault, match=said):
        options(tools=[{"name": name} for name in tools], tool_choice=choice)


@pytest.mark.parametrize(
    ("thinking", "expected"),
    [
        (None, {"thinking": False}), ({"type": "disabled"}, {"thinking": False}),
        ({"type": "adaptive"}, {"thinking": True}),
        ({"type": "between_tools"}, {"thinking": True}),
        ({"type": "enabled", "budget_tokens": 2000}, {"thinking": True, "reasoning_budget": 2000}),
        ({"type": "disabled", "budget_tokens": 2000}, {"thinking": False}),
    ],
)  # fmt: skip
def test_thoughts_are_off_unless_asked_for(thinking: Any, expected: dict[str, Any]) -> None:
    assert options(Thinker(), thinking=thinking) == {"max_tokens": 5, **expected}
    assert options(Thinker(can_think=False), thinking=thinking) == {"max_tokens": 5}
    always = options(Thinker(has_switch=False), thinking=thinking)
    assert "thinking" not in always
    assert always.get("reasoning_budget") == expected.get("reasoning_budget")


@pytest.mark.parametrize("name", ["output_config", "output_format"])
def test_a_schema_goes_with_thoughts(name: str) -> None:
    form = {"type": "json_schema", "schema": {"type": "object"}}
    asked = {name: {"format": form} if name == "output_config" else form}
    made = options(Thinker(), thinking={"type": "adaptive"}, **asked)
    assert made == {"max_tokens": 5, "json_schema": {"type": "object"}, "thinking": True}


def test_errors_are_in_words_that_clients_look_for() -> None:
    asked = MessageFields(max_tokens=1, messages=[{"role": "user", "content": "a"}])
    with pytest.raises(Fault, match="prompt is too long: 9 tokens > 5 maximum") as caught:
        with anthropic_errors(asked):
            raise ContextLengthError(9, 5)
    assert caught.value.kind == "context_length"
    with pytest.raises(Fault) as caught:
        with anthropic_errors(asked):
            raise UnsupportedModelError("/secret/m.gguf", "tokenizer.chat_template", got="none")
    assert caught.value.param == "model" and "/secret" not in caught.value.message
    assert "format=" not in caught.value.message  # which only programs can say
