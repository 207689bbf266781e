"""What templates are made of: each expression and statement gives what plain Jinja gives."""

from __future__ import annotations

from typing import Any

import pytest

from halfbyte.prompt.template import ChatTemplate

MESSAGES = [{"role": "user", "content": "a"}]
CONTEXT: dict[str, Any] = {
    "s": "Ab <c>\n\nd'é\tAb", "e": "", "n": 7, "f": 2.5, "t": True, "z": None,
    "xs": [3, 1, 2, 1], "ws": ["b", "A", "a", ""], "d": {"b": 2, "a": "x", "items": [1]},
    "rows": [{"k": "u", "v": {"w": [1, 2]}}, {"k": "v", "v": {"w": []}}, {"k": "u"}],
    "tup": (1, "a", None),
}  # fmt: skip
EXPRESSIONS = [
    "s.strip('b A')", "s.lstrip() ~ s.rstrip()", "s.split()", "s.split('b', 1)", "s.rsplit('b', 1)",
    "s.splitlines()", "s.splitlines(true)", "s.replace('b', 'xyz')", "s.replace('', '-')",
    "s.replace('b', '', 1)", "s.startswith(('x', 'A'))", "s.find('b') + s.rfind('b')",
    "s.count('b') ~ s.index('b')", "s.partition('c')", "s.removeprefix('A').removesuffix('b')",
    "'-'.join(ws)", "'{} {:>5}|{a:<4}|{a!s}'.format(n, 'x', a='é')",
    "'{1}{0:03d}{{}}'.format(n, s)", "'%s|%5.1f|%%|%03d|%r' % (s, f, n, ws)",
    "'%(a)s %(b)d' % {'a': s, 'b': n}", "'%s' % n", "'%s-%s' | format(n, s)", "'%s' % tup[1]",
    "s.upper() + s.title() + s.casefold()", "s | upper | lower | capitalize", "s | title",
    "s | trim('A')", "s | length", "s | list", "s | reverse", "s[1:] ~ s[:-2] ~ s[::-1] ~ s[2]",
    "s | indent", "s | indent(2, true, true)", "s | indent('> ')", "s | replace('b', 'c', 1)",
    "n | string + s", "s | first ~ s | last", "xs | first ~ xs | last", "[] | first", "[] | last",
    "xs | sort", "xs | sort(reverse=true)", "ws | sort", "ws | sort(case_sensitive=true)",
    "ws | unique | list", "ws | select | list", "rows | map(attribute='k') | list",
    "rows | map(attribute='v.w', default='-') | list", "rows | selectattr('v') | list | length",
    "rows | selectattr('k', 'eq', 'u') | list", "rows | rejectattr('k', 'in', ['u']) | list",
    "xs | select('odd') | list", "xs | reject('gt', 1) | list", "ws | map('upper') | join('/')",
    "ws | map('replace', 'a', 'b') | list", "rows | join('|', attribute='k')", "xs | join",
    "xs | sum", "rows | sum(attribute='n', start=1) if z else 0", "[[1], [2]] | sum(start=[])",
    "xs | min ~ xs | max", "ws | max", "rows | map(attribute='k') | min", "xs | batch(3, 0) | list",
    "d | dictsort", "d | dictsort(true, 'key', true)", "d | items | list", "d | list", "d | length",
    "d.items() | list", "d.keys() | list", "d.values() | list",
    "d.get('a') ~ d.get('q') ~ d.get('q', 1)", "d.a ~ d['b'] ~ d.q", "d['items']", "d.q is defined",
    "d.q | default('w')", "e | d('w', true)", "d | tojson", "d | tojson(indent=2)",
    "rows | tojson(sort_keys=true, separators=(',', ':'))", "s | tojson",
    "s | tojson(ensure_ascii=true)", "z | tojson ~ t | tojson ~ f | tojson",
    "'3' | int + '2.7' | int + 'x' | int(5)", "'0x1f' | int(base=16)",
    "'1.5' | float + 'y' | float", "2.567 | round(1)", "2.5 | round ~ 2.1 | round(0, 'ceil')",
    "-3 | abs", "[n, -n] | map('abs') | list", "n // 2 ~ n % 4 ~ n / 2 ~ n ** 2 ~ -n",
    "n * 'ab' ~ [0] * 3", "2 ** -1 ~ 2 ** 10", "t + t", "xs + [9]", "tup + (1,)",
    "xs[1:3] ~ tup[::2] ~ range(9)[2:4]", "range(3) | list ~ range(2, 9, 3) | list", "1 < n < 9",
    "1 < n > 9", "n == 7 and s", "not e or z", "'b' in s ~ 'q' not in s", "(1 in xs) ~ ('a' in d)",
    "xs == [3, 1, 2, 1] ~ (tup != xs)", "xs < [4]", "tup.index('a') ~ xs.count(1)", "xs.index(2)",
    "s if n > 3 else e", "s if n > 9", "n is odd ~ n is even ~ n is divisibleby 7",
    "s is string ~ d is mapping", "xs is sequence ~ xs is iterable ~ n is iterable",
    "n is number ~ f is float ~ n is integer ~ t is true",
    "z is none ~ t is boolean ~ s is lower ~ 'A' is upper", "n is eq 7 ~ n is gt 3 ~ n is in xs",
    "s is sameas s", "'upper' is filter ~ 'odd' is test ~ 'nope' is filter", "s.strip is callable",
    "u is undefined ~ u", "u | default(xs) | list", "[u, 1, none, true]",
    "{'a': [1, 'x\\n'], 2: none, 'u': u}", "d", "rows", "tup", "dict(a=1, b=s)",
    "dict([('a', 1)]).a", "namespace(a=s).a", "range(4)", "d.items()", "f", "1e20", "t ~ z",
    "messages", "s | map('upper') | list", "d | map('upper') | list",
    "(xs | map('string')) is iterable", "'empty' if not (xs | select('none')) else 'always true'",
    "strftime_now('%Y-%m-%d %H:%M')", "s | count",
    "s.isalpha() ~ '12'.isdigit() ~ 'a1'.isalnum() ~ ' '.isspace()", "'a' 'b' ~ '\\u00e9'",
    "loop is defined", "d is mapping and d.a is string and d.items is callable",
    "s | string | e == s",
]  # fmt: skip


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expressions(expression: str, plain: Any) -> None:
    source = "{{ " + expression + " }}"
    expected = plain(source, messages=MESSAGES, **CONTEXT)
    assert ChatTemplate(source).render(MESSAGES, **CONTEXT) == expected


@pytest.mark.parametrize(
    "source",
    [
        "{% for x in xs %}{{ loop.index }}{{ loop.revindex }}{{ loop.length }}{{ x }}{% endfor %}",
        "{% for x in xs %}{{ loop.previtem }},{{ loop.nextitem }}{{ loop.changed(x) }}{% endfor %}",
        "{% for x in xs | map('string') %}{{ loop.length }}{{ loop.last }}{{ x }}{% endfor %}",
        ("{% for x in xs %}{{ loop.cycle('a', 'b') }}{{ loop.depth }}"
        "{{ loop['first'] }}{% endfor %}"),
        "{% for x in xs if x > 1 %}{{ x }}{{ loop.index }}{% else %}none{% endfor %}",
        "{% for x in [] %}{{ x }}{% else %}none{% endfor %}{{ x }}",
        ("{% for k, v in d.items() %}{{ k }}={{ v }}{% endfor %}"
        "{% for c in s %}{{ c }}.{% endfor %}"),
        "{% for k in d %}{{ k }}{% endfor %}{% for x in u %}{{ x }}{% endfor %}",
        "{% set a, b = xs[:2] %}{{ a }}{{ b }}{% set a = 5 %}{{ a }}",
        "{% set n = namespace(a=1) %}{% for x in xs %}{% set n.a = n.a + x %}{% endfor %}{{ n.a }}",
        "{% set it = xs | map('string') %}{{ it | first }}{{ it | join }}",
        ("{% set it = xs | map('string') %}{% for x in it %}{{ x }}{% break %}{% endfor %}"
        "{{ it | list }}"),
        ("{% macro m(a, b=2) %}{{ a }}{{ b }}{{ varargs }}{{ kwargs }}{% endmacro %}"
        "{{ m(1) }}{{ m(1, 3, 4, c=5) }}"),
        "{% macro m() %}{{ caller('x') }}{% endmacro %}{% call(a) m() %}<{{ a }}>{% endcall %}",
        "{% macro m(n) %}{% if n %}{{ n }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(20) }}",
        "{% set x %}a{{ s }}{% endset %}{{ x | length }}{% set x | upper %}b{% endset %}{{ x }}",
        ("{% with a = 1, b = n %}{{ a + b }}{% endwith %}{{ a }}"
        "{% if a %}{% elif b %}{% else %}c{% endif %}"),
        "  {% if t %}\n  a\n  {% endif %}\n b {#- note -#} c {% raw %}{{ x }}{% endraw %}\n",
        "{% generation %}{% set q = 1 %}{{ q }}{% endgeneration %}{{ q }}",
        "{% for x in xs %}{% generation %}{{ loop.index }}{{ x }}{% endgeneration %}{% endfor %}",
        ("{% for x in xs %}{% for y in xs %}{% if y == x %}{% continue %}{% endif %}"
        "{{ y }}{% endfor %}{% endfor %}"),
        "{% if false %}{{ s | center(9) }}{% endif %}ok",
        "{% set it = xs | map('string') %}{{ it == 1 }}{{ [it] != it }}{{ it | list }}",
        "{{ 'y' if [] | unique else 'n' }}{{ 'y' if [] | reverse else 'n' }}",
        "{{ '<a> & b' | safe }}{{ '<a> & b' | e }}{{ [1] | string | safe }}",
        "{% print n %}{{ n }}\n",
        "{{ messages[0].content }}{{ add_generation_prompt }}", "", "a\r\nb\n\n",
    ],
)  # fmt: skip
def test_statements(source: str, plain: Any) -> None:
    given = {"add_generation_prompt": True, "messages": MESSAGES}
    expected = plain(source, **given, **CONTEXT)
    assert ChatTemplate(source).render(MESSAGES, **CONTEXT) == expected
