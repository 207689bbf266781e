"""LFM2's calls: read as models write them, written as their template does, and enforced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from played_chat import CHATML, TOOLS, USER, Chat, calls, is_trip, said_at_random

from halfbyte.prompt.template import ChatTemplate
from halfbyte.prompt.tools.call_format import Call, MalformedCall
from halfbyte.prompt.tools.formats import format_of
from halfbyte.prompt.tools.lfm2_calls import Lfm2
from halfbyte.tokenizer import Tokenizer

FORM = Lfm2()
TRIP = ("trip", {"city": "Rome", "days": 3, "by": ["bus"]})
# As LFM2.5's template has them: a message's calls are written by it, and its thoughts.
RENDERED = (
    '{% macro value(v) %}{{ "\'" + v + "\'" if v is string else v | tojson if v is mapping '
    "else v | string }}{% endmacro %}"
    "{% for m in messages %}{% if m.role == 'assistant' and m.thinking is defined %}"
    "<think>{{ m.thinking }}</think>{% endif %}{{ m.content }}"
    "{% if m.tool_calls is defined %}<|tool_call_start|>[{% for call in m.tool_calls %}"
    "{{ call.function.name }}({% for k, v in call.function.arguments.items() %}{{ k }}="
    "{{ value(v) }}{{ ', ' if not loop.last }}{% endfor %}){{ ', ' if not loop.last }}"
    "{% endfor %}]<|tool_call_end|>{% endif %}{% endfor %}{# message.thinking {{ tools }} #}"
)
SHOWN = CHATML + "{{ tools }}{# <|tool_list_start|> #}"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[trip(city='Rome', days=3, by=['bus'])]", [TRIP]),
        ('[trip(by=["bus"], days=3,\n city="Rome")]', [TRIP]),
        ("trip(city='Rome', days=3, by=['bus'])", [TRIP]),
        (" [now(), math.power(base=2, exponent=-1.5)] ",
         [("now", {}), ("math.power", {"base": 2, "exponent": -1.5})]),
        ("[set(on=true, off=False, at=null, with={'a': {\"b\": 1}})]",
         [("set", {"on": True, "off": False, "at": None, "with": {"a": {"b": 1}}})]),
        ("[run(code='print(\"it\\'s\")\\n', my-key=1)]",
         [("run", {"code": 'print("it\'s")\n', "my-key": 1})]),
    ],
)  # fmt: skip
def test_calls_are_read(text: str, found: list[Any]) -> None:
    assert FORM.parse(text) == found


@pytest.mark.parametrize(
    "text",
    ["", "[]", "trip", "[trip]", "[trip(]", "[trip(Rome)]", "[trip('Rome')]", "[trip(city=)]",
     "[trip(city=Rome)]", "[trip(city='Rome'", "[trip(city='Rome')] and more", "[(a=1)]",
     '{"name": "f"}', "[f(a=" + "[" * 100_000],
)  # fmt: skip
def test_what_is_no_call_says_why(text: str) -> None:
    with pytest.raises(MalformedCall, match="expected"):
        FORM.parse(text)


@settings(max_examples=40)
@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = FORM.parse(text)
    except MalformedCall:
        return
    assert all(isinstance(arguments, dict) for _, arguments in found)


def test_what_is_written_is_what_the_template_writes_and_is_read_again() -> None:
    made = [Call("trip", TRIP[1]), Call("set", {"on": True, "with": {"a": "b"}}), Call("now", {})]
    parts = FORM.written(made)
    assert parts[::2] == [*FORM.begins, FORM.end] and FORM.parse(parts[1]) == made
    tool_calls = [{"function": {"name": one.name, "arguments": one.arguments}} for one in made]
    message = {"role": "assistant", "content": "", "tool_calls": tool_calls}
    assert ChatTemplate(RENDERED, path="f").render([message]) == "".join(parts)
    assert FORM.parse(FORM.opening("now").removeprefix(FORM.begins[0]) + ")]") == [("now", {})]
    assert FORM.opening(None) in FORM.opening("now")


@pytest.mark.parametrize(
    "text", ["<|tool_call_start|>", "<|tool_list_start|>", "List of tools: [ keep_past_thinking"]
)
def test_templates_say_so(text: str) -> None:
    assert format_of(text, "f").name == "lfm2"


@pytest.mark.parametrize("template", [SHOWN, CHATML + "{{ tools }}{# <|tool_call_start|> #}"])
def test_calls_of_an_answer(template: str, open_with: Callable[[str], Tokenizer]) -> None:
    tokenizer = open_with(template)
    said = "One moment.<|tool_call_start|>[trip(days=3, city='Rome')]<|tool_call_end|>"
    done = Chat(tokenizer, tools=TOOLS).says(said)
    assert calls(done) == [("trip", {"days": 3, "city": "Rome"})]
    assert done.text == "One moment." and done.finish_reason == "tool_calls"
    again = Chat(tokenizer, tools=TOOLS, messages=[*USER, done.message, {
        "role": "tool", "content": "sunny", "tool_call_id": done.tool_calls[0].id}])  # fmt: skip
    assert "[trip(days=3, city='Rome')]<|tool_call_end|>" in again.asked


def test_earlier_thoughts_have_the_name_that_the_template_knows(
    open_with: Callable[[str], Tokenizer],
) -> None:
    messages = [*USER, {"role": "assistant", "content": "Fine.", "reasoning_content": "Hm."}, *USER]
    asked = Chat(open_with(RENDERED), messages=messages).asked
    assert "<think>Hm.</think>Fine." in asked


@pytest.mark.parametrize("choice", ["trip", "required"])
def test_calls_of_a_model_that_says_anything_are_well_formed(
    choice: str, open_with: Callable[[str], Tokenizer]
) -> None:
    n_called = 0
    for done in said_at_random(open_with(SHOWN), 6, tools=TOOLS, tool_choice=choice):
        assert done.finish_reason == "tool_calls" or done.cut_call
        for call in done.tool_calls:
            n_called += 1
            assert call.name != "trip" or is_trip(call.arguments)
    assert n_called
