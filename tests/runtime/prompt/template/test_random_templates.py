"""Random templates give what plain Jinja gives, or fail where it fails."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halfbyte.errors import TemplateError
from halfbyte.prompt.template import ChatTemplate

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 99) | st.floats(-9, 9) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["a", "b", "messages", "m", "m.role", "m['content']", "nope", "loop.index0"]
)
ATOMS = NAMES | st.sampled_from(
    [
        "'x'",
        "''",
        "' Ab '",
        "0",
        "3",
        "2.5",
        "true",
        "none",
        "[]",
        "[1, 'b']",
        "('a', 2)",
        "{'k': 1}",
    ]
)
FILTERS = [
    "trim", "upper", "lower", "title", "capitalize", "length", "list", "string", "first", "last",
    "int", "float", "abs", "round", "sum", "min", "max", "sort", "unique | list", "reverse | list",
    "tojson", "tojson(indent=2)", "join('-')", "default('w')", "d('v', true)", "items | list",
    "dictsort", "replace('a', 'bc')", "indent(1, true)", "map('string') | list",
    "map(attribute='role') | list", "select | list", "reject('string') | list",
    "selectattr('role') | list", "batch(2, 'f') | list",
]  # fmt: skip
METHODS = [
    "strip()", "split('a')", "upper()", "startswith('A')", "replace('a', 'bb')", "get('role')",
    "items() | list", "keys() | list", "index('a')", "count('a')", "splitlines()", "title()",
]  # fmt: skip
TESTS = [
    "defined", "none", "string", "mapping", "iterable", "sequence", "number", "odd", "even",
    "lower", "boolean", "eq 3", "in [1, 'b']", "divisibleby 3",
]  # fmt: skip


def _larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    infix = ["+", "-", "*", "/", "//", "%", "~", "==", "!=", "<", ">=", "in", "not in", "and", "or"]
    return (
        st.builds("({} {} {})".format, inner, st.sampled_from(infix), inner)
        | st.builds("({} | {})".format, inner, st.sampled_from(FILTERS))
        | st.builds("({}).{}".format, inner, st.sampled_from(METHODS))
        | st.builds("({} is {})".format, inner, st.sampled_from(TESTS))
        | st.builds("({} is not {})".format, inner, st.sampled_from(TESTS))
        | st.builds("({} if {} else {})".format, inner, inner, inner)
        | st.builds(
            "({} or a)[{}]".format, NAMES, st.sampled_from(["0", "-1", "1:", ":-1", "::2", "'k'"])
        )
        | st.builds("[{}, {}]".format, inner, inner)
        | st.builds("(not {})".format, inner)
    )


EXPRESSION = st.recursive(ATOMS, _larger, max_leaves=5)


def _nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return (
        st.builds("{{% for m in {} %}}{}{{% endfor %}}".format, EXPRESSION, inner)
        | st.builds(
            "{{% for m in {} if {} %}}{}{{% else %}}e{{% endfor %}}".format,
            NAMES,
            EXPRESSION,
            inner,
        )
        | st.builds(
            "{{%- if {} %}}\n {} {{% else -%}}{}{{% endif %}}\n".format, EXPRESSION, inner, inner
        )
        | st.builds("{{% set a = {} %}}{}".format, EXPRESSION, inner)
        | st.builds("{{% set b %}}{}{{% endset %}}{{{{ b }}}}".format, inner)
        | st.builds("{{% macro q(a) %}}{}{{% endmacro %}}{{{{ q({}) }}}}".format, inner, EXPRESSION)
        | st.builds(
            "{{% filter {} %}}{}{{% endfilter %}}".format, st.sampled_from(FILTERS[:5]), inner
        )
        | st.builds("{}{}".format, inner, inner)
    )


BODY = st.recursive(
    st.builds("{{{{ {} }}}}".format, EXPRESSION) | st.just("x\n"), _nested, max_leaves=4
)
MESSAGES = st.lists(st.fixed_dictionaries({"role": TEXTS, "content": PLAIN}), max_size=3)
# Text of objects, whose addresses differ in any case.
UNPRINTABLE = (
    "<generator",
    "<built-in",
    "<bound method",
    "<function",
    "<Macro",
    "<jinja2",
    " at 0x",
)


@settings(max_examples=400)
@given(source=BODY, messages=MESSAGES, a=PLAIN, b=PLAIN)
def test_random_templates_render_as_plain_jinja_renders_them(
    plain: Any, source: str, messages: list[dict[str, Any]], a: object, b: object
) -> None:
    given = {"a": a, "b": b, "bos_token": "<s>"}
    try:
        expected = plain(source, messages=messages, add_generation_prompt=True, **given)
    except Exception:
        with pytest.raises(TemplateError):
            ChatTemplate(source).render(messages, **given)
        return
    if any(text in expected for text in UNPRINTABLE):
        return
    assert ChatTemplate(source).render(messages, **given) == expected
