"""Templates that loop, grow, recurse or reach for Python: each is refused, and says why."""

from __future__ import annotations

import pytest

from halfbyte.errors import TemplateError
from halfbyte.prompt.template import ChatTemplate, chat_template

MESSAGES = [{"role": "user", "content": "a"}]


def grow(step: str, start: str = "'ab'", end: str = "") -> str:
    """A template that doubles ns.x a hundred times."""
    return (
        f"{{% set ns = namespace(x={start}) %}}{{% for i in range(100) %}}{step}{{% endfor %}}{end}"
    )


def repeat(body: str, before: str = "") -> str:
    return f"{before}{{% for i in range(2000000) %}}{body}{{% endfor %}}"


def keys(n: int) -> str:
    """A template that makes ns.k, pairs of a key and its number; all keys have one hash."""
    return (
        "{% set P = 2 ** 61 - 1 %}{% set ns = namespace(k=[]) %}"
        f"{{% for i in range({n // 50}) %}}{{% set ns.k = ns.k + ["
        + ", ".join(f"((i * 50 + {j}) * P, i)" for j in range(50))
        + "] %}{% endfor %}"
    )


WORK = "bounded amount of work"
SHARED = "{% set ns.x = [ns.x, ns.x] %}"
SHARED_TUPLE = "{% set ns.x = (ns.x, ns.x) %}"
UNTAKEN = "{% if 0 %}" + "".join(f"{{{{ a{i} }}}}" for i in range(1000)) + "{% endif %}"
HOSTILE = {
    # Loops.
    "long loop": (repeat("x"), WORK),
    "empty loops": ("{% for a in range(9999) %}" * 9 + "{% endfor %}" * 9, WORK),
    "filtered loop": ("{% for i in range(2000000) if i < 0 or i is none %}{% endfor %}", WORK),
    "range": ("{{ range(10 ** 12) | list }}", WORK),
    "range sum": (repeat("{{ range(100000) | sum }}"), WORK),
    "huge range": ("{{ range(2 ** 99999) }}", "4096 bits"),
    "text loop": (repeat("{{ messages }}"), WORK),
    "data loop": (repeat("abcdefgh" * 1000), WORK),
    "untaken branches": (
        "{% for i in range(500) %}" + UNTAKEN + "{% endfor %}",
        WORK,
    ),
    "untaken in a macro": (
        "{% macro m() %}" + UNTAKEN + "{% endmacro %}"
        "{% for i in range(500) %}{{ m() }}{% endfor %}",
        WORK,
    ),
    "in range": ("{{ 'a' in range(10 ** 12) }}", WORK),
    "refund": ("{% set x = 'a' * -(10 ** 8) %}{% set x = 'a' * 10 ** 8 %}", WORK),
    "loop length": (
        repeat("{% for j in 'ab' | map('string') %}{{ loop.length }}{% endfor %}"),
        WORK,
    ),
    "recursive loop": ("{% for i in [[]] recursive %}{{ loop([i]) }}{% endfor %}", "recursive for"),
    "loop of loop": (
        "{% for i in [1] %}{% for j in loop %}{% endfor %}{% endfor %}",
        "not iterable",
    ),
    # Growth.
    "plus": (grow("{% set ns.x = ns.x + ns.x %}"), WORK),
    "tilde": (grow("{% set ns.x = ns.x ~ ns.x %}"), WORK),
    "set block": (grow("{% set ns.x %}{{ ns.x }}{{ ns.x }}{% endset %}"), WORK),
    "filter block": (
        grow("{% set ns.x %}{% filter upper %}{{ ns.x }}{{ ns.x }}{% endfilter %}{% endset %}"),
        WORK,
    ),
    "macro text": (
        "{% macro m(a) %}{{ a }}{{ a }}{% endmacro %}" + grow("{% set ns.x = m(ns.x) %}"),
        WORK,
    ),
    "caller": (
        "{% macro m() %}{{ caller() }}{{ caller() }}{% endmacro %}"
        + grow("{% set ns.x %}{% call m() %}{{ ns.x }}{% endcall %}{% endset %}"),
        WORK,
    ),
    "join": (grow("{% set ns.x = [ns.x, ns.x] | join %}"), WORK),
    "join method": (grow("{% set ns.x = ns.x.join('abc') %}"), WORK),
    "join separator": ("{{ ('a' * 100000).join('b' * 100000) }}", WORK),
    "replace": (grow("{% set ns.x = ns.x.replace('a', ns.x) %}"), WORK),
    "replace filter": ("{{ ('a' * 1000000) | replace('', 'b' * 1000000) }}", WORK),
    "format": (grow("{% set ns.x = '{}{}'.format(ns.x, ns.x) %}"), WORK),
    "format same": (grow("{% set ns.x = '{0}{0}'.format(ns.x) %}"), WORK),
    "format filter": (grow("{% set ns.x = '%s%s' | format(ns.x, ns.x) %}"), WORK),
    "printf": (grow("{% set ns.x = '%s%s' % (ns.x, ns.x) %}"), WORK),
    "printf name": (grow("{% set ns.x = '%(a)s%(a)s' % {'a': ns.x} %}"), WORK),
    "list": (grow("{% set ns.x = ns.x + ns.x %}", "[1]"), WORK),
    "tuple": (grow("{% set ns.x = ns.x + ns.x %}", "(1,)"), WORK),
    "list sum": (grow("{% set ns.x = [ns.x, ns.x] | sum(start=[]) %}", "[1]"), WORK),
    "times": ("{{ 'a' * 10 ** 10 }}", WORK),
    "times left": ("{{ 10 ** 10 * 'a' }}", WORK),
    "times list": ("{{ [0] * 10 ** 10 }}", WORK),
    "power": ("{{ 9 ** (9 ** 9) }}", "4096 bits"),
    "powers": (grow("{% set ns.x = ns.x * ns.x %}", "7"), "4096 bits"),
    "negative indent": ("{{ ('a\n' * 100000) | indent(10 ** 6) }}", WORK),
    "indent text": ("{{ ('a\n' * 10000) | indent('b' * 10000) }}", WORK),
    "tojson indent": ("{{ [1] | tojson(indent=10 ** 9) }}", "16 characters"),
    "tojson separators": ("{{ [1] | tojson(separators=('a' * 99, '')) }}", "16 characters"),
    "tojson": (grow("{% set ns.x = ns.x | tojson %}", "'\\\"'"), WORK),
    "escape": (grow("{% set ns.x = ns.x | escape %}", "'&' * 9999"), WORK),
    "repr": (grow("{% set ns.x = [ns.x] | string %}", "'\\\\\\\\'"), WORK),
    "batch": ("{{ [1] | batch(10 ** 9, 1) | list }}", WORK),
    "slice copies": (
        repeat(
            "{% set ns.y = [ns.y, s[:]] %}",
            "{% set ns = namespace(y=0) %}{% set s = [0] * 100000 %}",
        ),
        WORK,
    ),
    "list of text": ("{{ ('ab' * 10 ** 7) | list }}", WORK),
    "split": ("{{ ('a ' * 10 ** 6).split() }}", WORK),
    "split at": ("{{ ('ab' * 10 ** 6).split('b') }}", WORK),
    "splitlines": ("{{ ('\n' * 10 ** 6).splitlines() }}", WORK),
    "case": (grow("{% set ns.x = ns.x.upper() + ns.x.lower() %}"), WORK),
    "title": ("{{ ('a ' * 10 ** 6) | title }}", WORK),
    "nested data": (
        repeat("{% set ns.x = [ns.x, [], {}, {'a': 1}] %}", "{% set ns = namespace(x=0) %}"),
        WORK,
    ),
    "namespaces": (
        repeat("{% set ns.x = namespace(x=ns.x) %}", "{% set ns = namespace(x=0) %}"),
        WORK,
    ),
    "iterators": (
        repeat("{% set ns.x = ns.x | map('string') %}", "{% set ns = namespace(x=[1]) %}"),
        WORK,
    ),
    "methods": (repeat("{% set ns.x = [ns.x, ''.strip] %}", "{% set ns = namespace(x=0) %}"), WORK),
    # Widths.
    "printf width": ("{{ '%999999999d' % 1 }}", "three digits"),
    "printf star": ("{{ '%*d' % (999999999, 1) }}", "three digits"),
    "printf precision": ("{{ '%.999999999f' | format(1.5) }}", "three digits"),
    "printf length": ("{{ '%ld%9999999d' % 1 }}", "three digits"),
    "odd": ("{{ '%999999999d' is odd }}", "takes a number"),
    "select odd": ("{{ ['%999999999d'] | select('odd') | list }}", "takes a number"),
    "divisibleby": ("{{ '%999999999d' is divisibleby(3) }}", "takes a number"),
    "format width": ("{{ '{:>999999999}'.format(1) }}", "not plain"),
    "format precision": ("{{ '{:.999999999f}'.format(1.5) }}", "not plain"),
    "format nested width": ("{{ '{:>{w}}'.format(1, w=10 ** 9) }}", "not plain"),
    "round": ("{{ 5 | round(-1000000000) }}", "precision"),
    "round ceil": ("{{ 5 | round(1000000000, 'ceil') }}", "precision"),
    "number": ("{{ ('9' * 100000) | int }}", "a number of 100000"),
    "strftime": ("{{ strftime_now('%999999999d') }}", "plain characters"),
    "strftime long": ("{{ strftime_now('%c' * 1000) }}", "plain characters"),
    "center": ("{{ 'a' | center(10 ** 9) }}", "center"),
    "ljust": ("{{ 'a'.ljust(10 ** 9) }}", "unsafe"),
    "expandtabs": ("{{ '\t'.expandtabs(10 ** 9) }}", "unsafe"),
    "zfill": ("{{ 'a'.zfill(10 ** 9) }}", "unsafe"),
    "encode": ("{{ 'a'.encode() }}", "unsafe"),
    "translate": ("{{ 'a'.translate({97: 'b' * 99}) }}", "unsafe"),
    "lipsum": ("{{ lipsum(n=10 ** 6) }}", "lipsum"),
    "cycler": ("{{ cycler('a').next() }}", "cycler"),
    "joiner": ("{{ joiner(', ')() }}", "joiner"),
    "wordwrap": ("{{ 'a' | wordwrap(1) }}", "wordwrap"),
    "attr": ("{{ 'a' | attr('upper') }}", "attr"),
    # Shared data that is a tree of 2 ** 100 leaves to whoever walks it.
    "shared text": (grow(SHARED, end="{{ ns.x }}"), f"{WORK}|levels"),
    "shared tojson": (grow(SHARED, end="{{ ns.x | tojson }}"), f"{WORK}|levels"),
    "shared indent": (grow(SHARED, end="{{ ns.x | tojson(indent=-(10 ** 9)) }}"), f"{WORK}|levels"),
    "shared equal": (grow(SHARED, end="{{ ns.x == ns.x }}"), f"{WORK}|levels"),
    "shared in": (grow(SHARED, end="{{ ns.x in [1] }}"), f"{WORK}|levels"),
    "shared test": (grow(SHARED, end="{{ 1 is in ns.x }}"), f"{WORK}|levels"),
    "shared sort": (grow(SHARED, end="{{ [ns.x, ns.x] | sort }}"), f"{WORK}|levels"),
    "shared index": (grow(SHARED, end="{{ [1].index(ns.x) }}"), f"{WORK}|levels"),
    "shared changed": (
        grow(SHARED, end="{% for i in [1] %}{{ loop.changed(ns.x) }}{% endfor %}"),
        f"{WORK}|levels",
    ),
    "shared printf": (grow(SHARED, end="{{ '%s' % [ns.x] }}"), f"{WORK}|levels"),
    "shared format": (grow(SHARED, end="{{ '{}'.format(ns.x) }}"), f"{WORK}|levels"),
    "shared join": (grow(SHARED, end="{{ [ns.x] | join }}"), f"{WORK}|levels"),
    "shared unique": (grow(SHARED_TUPLE, end="{{ [ns.x] | unique | list }}"), f"{WORK}|levels"),
    "shared key": (grow(SHARED_TUPLE, end="{{ {ns.x: 1} }}"), "cannot be a key"),
    "shared get": (grow(SHARED_TUPLE, end="{{ {}.get(ns.x) }}"), "cannot be a key"),
    "shared item": (grow(SHARED_TUPLE, end="{{ {}[ns.x].a }}"), r"\(tuple\)"),
    "shared dict": (grow(SHARED_TUPLE, end="{{ dict([(ns.x, 1)]) }}"), "cannot be a key"),
    "deep": (grow("{% set ns.x = [ns.x] %}", end="{{ ns.x }}"), "64 levels"),
    "deep tojson": (grow("{% set ns.x = {'a': ns.x} %}", end="{{ ns.x | tojson }}"), "64 levels"),
    # Slow operations on large texts.
    "search": (
        repeat("{{ t in s }}", "{% set s = 'a' * 10 ** 7 %}{% set t = 'a' * 50 ~ 'b' %}"),
        WORK,
    ),
    "strip": (
        repeat("{{ s.strip(t) }}", "{% set s = 'é' * 10 ** 5 %}{% set t = 'ab' * 900 ~ 'é' %}"),
        WORK,
    ),
    # Searches that try each character of a word at each place; keys whose hashes are alike.
    **{
        name: (
            repeat(f"{{{{ {call} }}}}", f"{{% set s = 'a' * {n} %}}{{% set t = {word} %}}"),
            WORK,
        )
        for name, call, n, word in (
            ("rfind", "s.rfind(t)", 3 * 10**4, "'ab' + 'a' * 15000"),
            ("rindex", "s.rindex(t)", 10**5, "'ab' + 'a' * 15000"),
            ("rsplit", "s.rsplit(t)", 3 * 10**4, "'ab' + 'a' * 15000"),
            ("rsplit once", "s.rsplit(t, 1)", 3 * 10**4, "'ab' + 'a' * 15000"),
            ("rpartition", "s.rpartition(t)", 3 * 10**4, "'ab' + 'a' * 15000"),
            ("long set", "s.strip(t)", 3 * 10**4, "'bc' * 9000 + 'a'"),
            ("long set left", "s.lstrip(t)", 3 * 10**4, "'bc' * 9000 + 'a'"),
            ("long set filter", "s | trim(t)", 3 * 10**4, "'bc' * 9000 + 'a'"),
            ("many prefixes", "s.startswith(t)", 10**4, "(s[1:] ~ 'b',) * 5000"),
        )
    },
    "same hashes": (keys(5000) + "{% set d = dict(ns.k) %}", WORK),
    "same hashes in a namespace": (keys(5000) + "{% set d = namespace(ns.k) %}", WORK),
    "same hashes in a set": (keys(2000) + "{{ ns.k | map('first') | unique | list }}", WORK),
    "same hashes of tuples": (keys(2000) + "{{ ns.k | unique | list }}", WORK),
    "same hashes met": (
        keys(500) + "{% set d = dict(ns.k) %}" + repeat("{{ d[-P] }}{{ d.get(-P) }}"),
        WORK,
    ),
    "same hashes compared": (
        keys(500) + "{% set d = dict(ns.k) %}" + repeat("{{ d == dict(d) }}"),
        WORK,
    ),
    "same hashes in views": (
        keys(500) + "{% set d = dict(ns.k) %}" + repeat("{{ d.keys() == d.keys() }}"),
        WORK,
    ),
    "precision": (repeat("{{ '%.999e' % 1.7e-308 }}"), WORK),
    "upper": (repeat("{{ s.upper() }}", "{% set s = ('ß' ~ messages[0].content) * 999 %}"), WORK),
    # What is rendered.
    "length": ("{{ 'a' * 2000000 }}", "at most 10[0-9]{5} characters"),
    "equal": (
        repeat("{{ s == t }}", "{% set s = 'a' * 10 ** 6 %}{% set t = 'a' * 10 ** 6 %}"),
        WORK,
    ),
    "less": (repeat("{{ s < t }}", "{% set s = 'a' * 10 ** 6 %}{% set t = 'a' * 10 ** 6 %}"), WORK),
    "in list": (repeat("{{ 'a' in s }}", "{% set s = range(10 ** 5) | list %}"), WORK),
    "reverse": (repeat("{{ s[::-1][0] }}", "{% set s = 'a' * 10 ** 6 %}"), WORK),
    "count": (repeat("{{ s.count('b') }}", "{% set s = 'a' * 10 ** 6 %}"), WORK),
    "path": (
        repeat(
            "{{ [1, 1, 1] | map(attribute=s, default=1) | list }}", "{% set s = 'a.' * 10 ** 5 %}"
        ),
        WORK,
    ),
    # Recursion.
    "macro": ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "macros call each other"),
    "macros": (
        (
            "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}"
            "{{ m(50) }}"
        ),
        WORK,
    ),
    "empty macro": ("{% macro m() %}{% endmacro %}" + repeat("{{ m() }}"), WORK),
    "call block": (
        "{% macro m() %}{{ caller() }}{% endmacro %}" + repeat("{% call m() %}x{% endcall %}"),
        WORK,
    ),
    # Source.
    "brackets": ("{{ " + "(" * 100_000 + "1" + ")" * 100_000 + " }}", "40 levels"),
    "lists": ("{{ " + "[" * 50 + "]" * 50 + " }}", "40 levels"),
    "ifs": ("{% if 1 %}" * 5000 + "{% endif %}" * 5000, "40 levels"),
    "signed ifs": ("{%- if 1 -%}" * 50 + "{%- endif -%}" * 50, "40 levels"),
    "set blocks": ("{% set a %}" * 50 + "{% endset %}" * 50, "40 levels"),
    "filtered set blocks": (
        "{% set a | trim(chars='b') %}" * 50 + "{% endset %}" * 50,
        "40 levels",
    ),
    "fors": ("{% for i in [] %}" * 30 + "{% endfor %}" * 30, "nested"),
    "nots": ("{{ " + "not " * 50_000 + "1 }}", "2000 tokens"),
    "minus": ("{{ " + "- " * 1900 + "1 }}", "levels|recursion"),
    "plusses": ("{{ 1" + " + 1" * 500 + " }}", "levels"),
    "dots": ("{{ a" + ".a" * 500 + " }}", "levels"),
    "pipes": ("{{ a" + " | trim" * 500 + " }}", "levels"),
    "elses": ("{{ " + "1 if 0 else " * 300 + "1 }}", "levels"),
    "elifs": ("{% if 0 %}" + "{% elif 0 %}" * 3000 + "{% endif %}", "branches"),
    "tags": ("{{ a }}" * 30_000, "25000 tokens"),
    "size": ("a" * 300_000, "262144 at most"),
    "digits": ("{{ " + "9" * 10_000 + " }}", "200 characters"),
    "identifier": ("{{ " + "a" * 10_000 + " }}", "200 characters"),
    # Out of reach.
    "class": ("{{ ''.__class__ }}", "__class__"),
    "mro": ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "__class__"),
    "class item": ("{{ ''['__class__'] }}", "__class__"),
    "class path": ("{{ [''] | map(attribute='__class__') | list }}", "__class__"),
    "format attribute": ("{{ '{0.__class__}'.format('') }}", "names or numbers"),
    "format item": ("{{ '{0[a]}'.format({'a': 1}) }}", "names or numbers"),
    "format_map": ("{{ '{a.__class__}'.format_map({'a': 1}) }}", "unsafe"),
    "macro internals": ("{% macro m() %}{% endmacro %}{{ m._func.__globals__ }}", "_func"),
    "macro globals": ("{% macro m() %}{% endmacro %}{{ m.__init__.__globals__ }}", "__init__"),
    "method": ("{{ ''.strip.func.__globals__ }}", "func"),
    "function": ("{{ range.func.__self__.globals }}", "func"),
    "loop internals": ("{% for i in [1] %}{{ loop._iterable.gi_frame }}{% endfor %}", "_iterable"),
    "self": ("{{ self._TemplateReference__context.environment }}", "_TemplateReference"),
    "own filter": ("{{ [-10 ** 9] | map(' charge') | list }}", "no such filter"),
    "own filter listed": ("{{ [1] | map(*[' charge']) | list }}", r"\*args"),
    "mutation": ("{{ messages.append(1) }}", "unsafe"),
    "dict mutation": ("{{ messages[0].update(a=1) }}", "unsafe"),
    "include": ("{% include 'a' %}", "include"),
    "import": ("{% import 'a' as b %}", "import"),
    "from": ("{% from 'a' import b %}", "import"),
    "extends": ("{% extends 'a' %}", "extends"),
    "block": ("{% block a %}{{ self.a() }}{% endblock %}", "block"),
    "autoescape": ("{% autoescape true %}{{ '&' }}{% endautoescape %}", "autoescape"),
    # Plain bugs.
    "syntax": ("a\n{% for %}", "line 2"),
    "unknown tag": ("{% nope %}", "nope"),
    "break outside": ("{% break %}", "break"),
    "undefined": ("\n\n{{ nope.a }}", r"'nope' is undefined \(line 3\)"),
    "undefined call": ("{{ nope() }}", "'nope' is undefined"),
    "type": ("{{ 1 + 'a' }}", "takes no int and str"),
    "zero": ("{{ 1 // 0 }}", "ZeroDivisionError"),
    "no call": ("{{ messages() }}", "cannot be called"),
    "no text": ("{{ range }}", "has no text"),
    "iterator text": ("{{ messages | map('string') }}", "filter list"),
    "undefined json": ("{{ nope | tojson }}", "not JSON serializable"),
    "arguments": ("{% macro m() %}{% endmacro %}{{ m(1) }}", "argument"),
}


@pytest.mark.parametrize(("source", "reason"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_templates_are_refused(
    source: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_template, "WORK", 500_000)  # to be quicker
    with pytest.raises(TemplateError, match=reason) as caught:
        ChatTemplate(source, path="m.gguf").render(MESSAGES)
    assert caught.value.path == "m.gguf"
    assert caught.value.field == "tokenizer.chat_template"
    assert len(str(caught.value)) < 2000
    # Nothing keeps the rendering's data alive.
    assert caught.value.__context__ is None


@pytest.mark.parametrize("name", ["empty loops", "set block", "times", "shared text", "macros"])
def test_the_usual_budget(name: str) -> None:
    with pytest.raises(TemplateError, match=WORK):
        ChatTemplate(HOSTILE[name][0]).render(MESSAGES)
