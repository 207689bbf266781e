"""Chats in Harmony: prompts, thoughts, calls and shapes, with the published template's words."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from played_chat import TOOLS, USER, Chat, calls, trips

from halfbyte.constraints.constraint import Constraint
from halfbyte.errors import RequestError
from halfbyte.tokenizer import Tokenizer
from halfbyte.tokenizer.harmony_texts import TEXTS

# What matters of gpt-oss' own: the channels by which it is known, and how it renders.
TEMPLATE = """\
<|start|>system<|message|>Reasoning: {{ reasoning_effort or "medium" }}<|end|>
{%- for tool in tools or [] %}
    {{- "// " + tool.function.description + "\\n" + tool.function.name }}
{%- endfor %}
{%- for m in messages %}
    {%- if m.role == "assistant" and "<|channel|>analysis<|message|>" in m.content %}
        {{- raise_exception("no channels in a message") }}
    {%- elif m.tool_calls %}
        {%- if m.content and m.thinking %}{{ raise_exception("not both") }}{% endif %}
        {{- "<|start|>assistant<|channel|>analysis<|message|>" + m.thinking + "<|end|>" }}
        {{- "<|start|>assistant to=functions." + m.tool_calls[0].function.name }}
        {{- "<|channel|>commentary json<|message|>" + m.tool_calls[0].function.arguments|tojson }}
        {{- "<|call|>" }}
    {%- else %}
        {{- "<|start|>" + m.role + "<|message|>" + m.content + "<|end|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|start|>assistant{% endif %}"""
THINKS = "<|channel|>analysis<|message|>hm<|end|>"
START = "<|start|>assistant"
ROME = [("weather", {"city": "Rome"})]
JSON = '<|message|>{"city": "Rome"}'


@pytest.fixture(scope="module")
def tokenizer(vocabularies: Any, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    made = vocabularies.train_byte_level("smollm", ("<|endoftext|>", *TEXTS))

    def fill(writer: Any) -> None:
        writer.add_eos_token_id(made.id_of("<|return|>"))
        writer.add_chat_template(TEMPLATE)

    return Tokenizer.from_path(made.write(tmp_path_factory.mktemp("harmony") / "m.gguf", fill=fill))


@pytest.fixture
def say(tokenizer: Tokenizer) -> Callable[..., Any]:
    """What becomes of an answer."""
    return lambda text, **options: Chat(tokenizer, **options).says(text)


def test_a_message_ends_where_no_answer_does(tokenizer: Tokenizer) -> None:
    ends = {tokenizer.piece(i) for i in tokenizer.eog_ids}
    assert ends == {"<|endoftext|>", "<|return|>", "<|call|>"}


def test_channels_are_told_apart(say: Callable[..., Any]) -> None:
    done = say(f"{THINKS}{START}<|channel|>final<|message|>Yes.")
    assert (done.reasoning, done.text, done.finish_reason) == ("hm", "Yes.", "stop")
    assert done.message["reasoning_content"] == "hm"


def test_conversations_are_rendered(tokenizer: Tokenizer) -> None:
    call = {"function": {"name": "weather", "arguments": {"city": "Rome"}}}
    messages = [
        *USER,
        {"role": "assistant", "content": "I look.", "reasoning_content": "x", "tool_calls": [call]},
        {"role": "tool", "content": "18"},
    ]
    asked = Chat(tokenizer, messages=messages, tools=TOOLS).asked
    wanted = "analysis<|message|>x<|end|><|start|>assistant to=functions.weather<|channel|>"
    assert wanted in asked and asked.endswith("<|message|>18<|end|><|start|>assistant")
    assert "// \nweather" in asked and "I look." not in asked


@pytest.mark.parametrize(
    "answer",
    [
        f"{THINKS}{START}<|channel|>commentary to=functions.weather <|constrain|>json{JSON}",
        f"<|channel|>commentary to=functions.weather{JSON}",
        f"{THINKS}{START} to=functions.weather<|channel|>commentary json{JSON}",
        f" to=functions.weather<|channel|>commentary <|constrain|>json{JSON}",
    ],
)
def test_calls_are_read_and_followed(answer: str, say: Callable[..., Any]) -> None:
    done = say(answer, tools=TOOLS)
    assert (calls(done), done.text, done.finish_reason) == (ROME, "", "tool_calls")
    assert done.tool_error is None and done.reasoning == ("hm" if "hm" in answer else "")


def test_text_before_a_call_is_content(say: Callable[..., Any]) -> None:
    said = f"{THINKS}{START}<|channel|>commentary<|message|>I look.<|end|>"
    done = say(f"{said}{START}<|channel|>commentary to=functions.weather{JSON}", tools=TOOLS)
    assert (done.text, calls(done)) == ("I look.", ROME)


@pytest.mark.parametrize("thinking", [None, False])
def test_calls_of_a_model_that_says_anything_are_well_formed(
    thinking: bool | None, tokenizer: Tokenizer
) -> None:
    for done in trips(tokenizer, 5, thinking=thinking, reasoning_budget=3):
        assert bool(done.reasoning) == (thinking is None)


def test_thoughts_are_switched(tokenizer: Tokenizer) -> None:
    chat = Chat(tokenizer, thinking=True)
    assert "Reasoning: medium" in chat.asked
    done = chat.says(f"hm<|end|>{START}<|channel|>final<|message|>Yes.")
    assert (done.reasoning, done.text) == ("hm", "Yes.")
    chat = Chat(tokenizer, thinking=False)
    assert "Reasoning: low" in chat.asked
    assert chat.says("Yes.").text == "Yes."
    for effort in ("low", "high"):
        for thinking in (None, True, False):
            chat = Chat(tokenizer, thinking=thinking, reasoning_effort=effort)
            assert f"Reasoning: {effort}<" in chat.asked
    done = Chat(tokenizer, thinking=False, tools=TOOLS).says(f"{THINKS}{START}")
    assert done.reasoning == ""


def test_a_budget_ends_thoughts(tokenizer: Tokenizer) -> None:
    chat = Chat(tokenizer, n_most=30, reasoning_budget=2, reasoning_closing=" Enough.")
    done = chat.says("<|channel|>analysis<|message|>one two three four")
    assert done.reasoning.endswith(" Enough.") and "four" not in done.reasoning


@pytest.mark.parametrize("thinking", [None, False])
def test_a_shape_holds_for_what_is_final(thinking: bool | None, tokenizer: Tokenizer) -> None:
    shape = Constraint("regex", "[0-9]{3}!")
    rng = np.random.default_rng(2)
    request = Chat(tokenizer, shape=shape, thinking=thinking, reasoning_budget=4).request
    while not request.finish_reason:
        row = rng.normal(size=tokenizer.n_vocab).astype(np.float32)
        row[sorted(tokenizer.eog_ids)] += 9.0
        request.accept(request.sample(row))
    done = request.result()
    assert re.fullmatch("[0-9]{3}!", done.text) and done.is_complete
    assert bool(done.reasoning) == (thinking is None)
    with pytest.raises(RequestError, match="nothing beside tools"):
        Chat(tokenizer, shape=shape, tools=TOOLS)
