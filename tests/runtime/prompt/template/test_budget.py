"""The budget: every operation pays for its size, and what a rendering may spend."""

from __future__ import annotations

from typing import Any

import pytest

from halfbyte.errors import TemplateError
from halfbyte.prompt.template import ChatTemplate, chat_template
from halfbyte.prompt.template.budget import Budget

WORK = "bounded amount of work"
LARGE = "{% set s = 'a' * 5 * 10 ** 6 %}"  # three fifths of the budget below
LONG = "{% set s = [0] * 12 * 10 ** 5 %}"  # as much
LINES = "{% set s = 'a\\n' * 150000 %}"
PATH = "{% set s = 'a.' * 100000 %}"


def user(content: str) -> dict[str, Any]:
    return {"role": "user", "content": content}


@pytest.mark.parametrize(
    ("before", "operation"),
    [
        *((LARGE, f"s{method}") for method in (
            ".count('b')", ".find('b')", ".strip()", ".startswith('b')", ".isalpha()", ".upper()",
            ".split('b')", ".rsplit('b')", ".split()", ".splitlines()", ".replace('b', 'c')",
            ".partition('b')", "[:]", "[::-1]", " + 'b'", " ~ ''", " == s", " < s", " is lower",
            " in ['b']", " | trim", " | upper", " | replace('b', 'c')", " | indent", " | e",
            " | title", " | list", " | reverse", " | tojson", " | map('upper')", " is eq s",
            ".format()", ".join(['', ''])",
        )),
        (LARGE, "'b' in s"), (LARGE, "'b' not in s"), (LARGE, "'%s' % s"),
        (LARGE, "'{}'.format(s)"),
        (LARGE, "[s] | join"), (LARGE, "''.join([s])"), (LARGE, "[s] | string"),
        (LARGE, "[s] == [1]"),
        (LARGE, "'b' is in s"), (LARGE, "[s] | sort"), (LARGE, "{'a': s} | dictsort"),
        (LARGE, "'%s' | format(s)"),
        *((LONG, f"s{method}") for method in (
            "[:]", " + [1]", " | list", " | sort", " | first ~ s | sum", " | join", " | unique",
            " | map('string')", " | select", " | reverse", " | batch(2)", " | string", " | tojson",
            ".index(1)", ".count(1)", " == s", " | min",
        )),
        (LONG, "1 in s"), (LONG, "'%s' % [s]"),
        (LINES, "s.splitlines()"), (LINES, "s | indent(200)"), (LINES, "s.replace('a', 'b' * 999)"),
        (LINES, "s.split() | list"), (LINES, "(s | list)[:]"), (LINES, "s | title"),
        (PATH, "[1] | map(attribute=s, default=1)"), (PATH, "[1] | join(attribute=s)"),
        ("{% set s = 'a' * 2 * 10 ** 6 %}", "('b' * 99) in s"),
        ("{% set s = 'a' * 2 * 10 ** 6 %}", "s.count('b' * 99)"),
        ("{% set s = '%d' * 10 ** 4 %}", "s % {}"),
        ("", "[1] | batch(600000, 1)"),
    ],
)  # fmt: skip
def test_each_operation_pays_for_its_size(
    before: str, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_template, "WORK", 500_000)
    assert ChatTemplate(before).render([]) == ""
    with pytest.raises(TemplateError, match=WORK):
        ChatTemplate(f"{before}{{% set x = {operation} %}}").render([])


@pytest.mark.parametrize(
    ("operation", "small", "large"),
    [
        ("x | string", "7", "2 ** 2000 * 2 ** 2000"),
        ("x // 7", "7", "2 ** 2000 * 2 ** 2000"),
        ("x | int", "'7'", "'7' * 999"),
        ("x | float", "'7'", "'7' * 999"),
        ("strftime_now(x)", "'%c'", "'%c' * 100"),
    ],
)
def test_what_python_takes_long_for_pays(
    operation: str, small: str, large: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_template, "WORK", 500_000)
    loop = f"{{% for i in range(8000) %}}{{% set y = {operation} %}}{{% endfor %}}"
    assert ChatTemplate(f"{{% set x = {small} %}}{loop}").render([]) == ""
    with pytest.raises(TemplateError, match=WORK):
        ChatTemplate(f"{{% set x = {large} %}}{loop}").render([])


def test_what_stands_outside_loops_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_template, "WORK", 1000)
    assert ChatTemplate("{% set a = b %}" * 50).render([]) == ""
    with pytest.raises(TemplateError, match=WORK):
        ChatTemplate("{% set a = b %}" * 500).render([])


def test_a_text_that_grows_message_by_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is dropped is paid back but for the time; what is kept stays paid for."""
    monkeypatch.setattr(chat_template, "WORK", 500_000)
    monkeypatch.setattr(chat_template, "WORK_PER_INPUT", 0)
    before = "{% set ns = namespace(x='', all=[]) %}{% set s = 'é' * 2000 %}"
    grows = "{% for i in range(100) %}{% set ns.x = ns.x ~ s %}{% set ns.x = ns.x + '.' %}KEEP"
    grows = f"{before}{grows}{{% endfor %}}{{{{ ns.x | length }}}}"  # 20 million characters in all
    assert ChatTemplate(grows.replace("KEEP", "")).render([]) == "200100"
    with pytest.raises(TemplateError, match=WORK):
        ChatTemplate(grows.replace("KEEP", "{% set ns.all = [ns.all, ns.x] %}")).render([])
    with pytest.raises(TemplateError, match=WORK):  # time is never paid back
        ChatTemplate(grows.replace("range(100)", "range(1000)").replace("KEEP", "")).render([])


def test_nothing_is_computed_before_it_is_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = ChatTemplate("{% if messages %}{{ 'ab' * 10 ** 4 | int }}{% endif %}")
    assert len(compiled.render([user("a")])) == 20_000
    calls: list[int] = []
    monkeypatch.setattr(Budget, "spend", lambda self, units: calls.append(units))
    ChatTemplate("{{ 'a' | replace('', 'b') }}{{ 'a' < 'b' }}{{ 2 ** 9 ~ 'a'.upper() }}{{ 1.5 }}")
    assert not calls


def test_each_rendering_has_its_own_budget() -> None:
    compiled = ChatTemplate("{% for i in range(messages[0].n) %}x{% endfor %}")
    for _ in range(5):
        assert len(compiled.render([{"n": 100_000}])) == 100_000
        with pytest.raises(TemplateError, match=WORK):
            compiled.render([{"n": 10_000_000}])


def test_the_budget_grows_with_the_conversation() -> None:
    compiled = ChatTemplate("{% for m in messages %}{{ m.content | trim | upper }}{% endfor %}")
    messages = [user("aé" * 10_000) for _ in range(1000)]
    assert len(compiled.render(messages)) == 20_000_000
    with pytest.raises(TemplateError, match=WORK):
        ChatTemplate("{{ 'é' * 20000000 }}").render([user("a")])
