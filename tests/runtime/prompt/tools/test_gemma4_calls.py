"""Gemma 4's calls: read as its template writes them, and enforced so that whatever comes is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from played_chat import CHATML, TOOLS, Chat, calls, trips

from halfbyte.prompt.template import ChatTemplate
from halfbyte.prompt.tools.call_format import MalformedCall
from halfbyte.prompt.tools.formats import format_of
from halfbyte.prompt.tools.gemma4_calls import QUOTE, Gemma4
from halfbyte.tokenizer import Tokenizer

ARGUMENT = """{% macro argument(a) %}{% if a is string %}<|"|>{{ a }}<|"|>{% elif a is boolean %}
{{- 'true' if a else 'false' }}{% elif a is none %}null{% elif a is mapping %}{ {%- for k, v in
a | dictsort %}{{ ',' if not loop.first }}{{ k }}:{{ argument(v) }}{% endfor %}}{% elif
a is sequence %}[{% for v in a %}{{ ',' if not loop.first }}{{ argument(v) }}{% endfor %}]{% else
%}{{ a }}{%- endif %}{% endmacro %}"""
CALLS = """{% for call in m.tool_calls or [] %}<|tool_call>call:{{ call.function.name }}
{{- argument(call.function.arguments) }}<tool_call|>{% endfor %}<|im_end|>"""
TEMPLATE = ARGUMENT + CHATML.replace("<|im_end|>", CALLS) + "{{ tools }}"
FORM = Gemma4()
KEYS = st.from_regex(r"[a-z_]{1,9}", fullmatch=True)
PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.text("aé{}[]:,\n\"'<|>", max_size=9)
)
VALUES = st.recursive(
    PLAIN, lambda one: st.lists(one, max_size=3) | st.dictionaries(KEYS, one, max_size=3),
    max_leaves=8,
)  # fmt: skip


def _written(call: dict[str, Any]) -> str:
    """What the model's own template makes of a call."""
    called = {"role": "assistant", "content": "", "tool_calls": [{"function": call}]}
    messages = [{"role": "user", "content": "x"}, called]
    text = str(ChatTemplate(TEMPLATE).render(messages, bos_token="", tools=None))
    begin, end = FORM.begins[0], FORM.end
    return text[text.index(begin) + len(begin) : text.rindex(end)]


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_what_the_template_writes_is_read_again(arguments: dict[str, Any]) -> None:
    if QUOTE in str(arguments):
        return
    text = _written({"name": "trip", "arguments": arguments})
    assert FORM.parse(text) == [("trip", arguments)]


@pytest.mark.parametrize(
    "text",
    ["", "trip{}", "call:trip", "call:trip{", "call:trip{a}", "call:trip{a:}", "call:trip{a:1",
     "call:trip{a:1} more", "call:trip{a:nothing}", "call:two words{}", "call:trip{a:NaN}",
     f"call:trip{{a:{QUOTE}x}}", "call:trip{a:" + "[" * 10_000, 'call:trip{"a": 1'],
)  # fmt: skip
def test_what_is_no_call_says_why(text: str) -> None:
    with pytest.raises(MalformedCall, match="expected"):
        FORM.parse(text)


@settings(max_examples=50)
@given(st.text('call:tf{}[]",<|>1', max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        assert FORM.parse(text)
    except MalformedCall:
        pass


def test_its_template_is_known_by_its_calls() -> None:
    form = format_of(TEMPLATE, "x")
    assert isinstance(form, Gemma4)
    assert form.parse(form.opening("now").removeprefix(form.begins[0]) + "}") == [("now", {})]


def test_calls_of_a_model_that_says_anything_are_well_formed(
    open_with: Callable[[str], Tokenizer],
) -> None:
    assert list(trips(open_with(TEMPLATE), 5))


@pytest.mark.parametrize("n", [1, 2])
def test_what_the_model_writes_is_what_the_grammar_wants(
    n: int, open_with: Callable[[str], Tokenizer]
) -> None:
    trip = {"by": ["bus"], "city": "Rome", "days": 3}
    call = f"<|tool_call>{_written({'name': 'trip', 'arguments': trip})}<tool_call|>"
    done = Chat(open_with(TEMPLATE), tools=TOOLS).says("I look.\n" + call * n)
    assert (calls(done), done.text) == ([("trip", trip)] * n, "I look.")
    assert done.tool_error is None and done.finish_reason == "tool_calls"
