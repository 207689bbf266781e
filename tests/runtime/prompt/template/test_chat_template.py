"""What goes into a template and what comes out of it beside text."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pytest
from jinja2 import Environment, meta

from halfbyte.errors import RequestError
from halfbyte.prompt.template import ChatTemplate, functions


def user(content: str) -> dict[str, Any]:
    return {"role": "user", "content": content}


@pytest.mark.parametrize("message", ["Roles must alternate", "", "é" * 5000])
def test_a_template_may_refuse_the_messages(message: str) -> None:
    compiled = ChatTemplate("{% for m in messages %}{{ raise_exception(m.content) }}{% endfor %}")
    with pytest.raises(RequestError, match="chat template accepts") as caught:
        compiled.render([user(message)])
    assert (caught.value.param, caught.value.got) == ("messages", message)


@pytest.mark.parametrize(
    "source",
    [
        "{{ tools }}",
        "{% if available is defined %}{% set tools = available %}{% endif %}{{ tools }}",
        "{% if a %}{% elif b %}{% set tools = 1 %}{% else %}{{ tools }}{% endif %}",
        "{% set tools = tools | default([]) %}{{ tools }}",
        "{% if tools is not defined %}{% set tools = none %}{% endif %}{{ tools }}",
        "{% set tools = 1 %}{{ tools }}",
        "{% set tools = [] %}{% if a %}{% set other = 1 %}{% endif %}{{ tools }}",
        "{% for tools in messages %}{{ tools }}{% endfor %}",
        "{% macro render(tools) %}{{ tools }}{% endmacro %}",
        "{% macro render(tools) %}{{ tools }}{% endmacro %}{{ render(tools) }}",
        "{% macro render(other) %}{{ tools }}{% endmacro %}{{ render(1) }}",
        "{{ messages.tools }} tools",
    ],
)
def test_what_it_reads_is_what_jinja_looks_up(source: str) -> None:
    looked_up = "tools" in meta.find_undeclared_variables(Environment().parse(source))
    assert ("tools" in ChatTemplate(source).variables) is looked_up


@pytest.mark.parametrize("value", [object(), len, b"a", {1, 2}, {(1,): 2}, [[object()]]])
def test_variables_are_plain_data(value: object) -> None:
    with pytest.raises(RequestError) as caught:
        ChatTemplate("").render([user("a")], extra=value)
    assert caught.value.param == "extra"


def test_cycles_are_refused() -> None:
    cycle: list[object] = []
    cycle.append(cycle)
    with pytest.raises(RequestError, match="levels"):
        ChatTemplate("").render([{"role": "user", "content": cycle}])


def test_subclasses_become_plain_data() -> None:
    class Text(str):
        def __str__(self) -> str:
            raise AssertionError("code of a caller's class")

        upper = __len__ = strip = __str__  # type: ignore[assignment]

    class Message(Mapping[str, object]):
        def __getitem__(self, key: str) -> object:
            return {"content": Text("a"), "more": (Text("b"), True, 2.5)}[key]

        def __iter__(self) -> Any:
            return iter(["content", "more"])

        def __len__(self) -> int:
            return 2

    source = "{{ messages[0].content.upper() ~ messages[0].content | length }}{{ messages }}"
    expected = "A1[{'content': 'a', 'more': ('b', True, 2.5)}]"
    assert ChatTemplate(source).render([Message()]) == expected


def test_shared_data_is_copied_once() -> None:
    shared: list[object] = []
    for _ in range(60):
        shared = [shared, shared]
    assert ChatTemplate("{{ x | length }}").render([], x=shared) == "2"


def test_an_interruption_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            raise KeyboardInterrupt

    monkeypatch.setattr(functions, "datetime", Clock)
    with pytest.raises(KeyboardInterrupt):
        ChatTemplate("{{ strftime_now('%Y') }}").render([])
