"""Values as Python writes them: what Python itself reads of the same texts, and JSON."""

from __future__ import annotations

import ast
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halfbyte.prompt.tools.call_format import MalformedCall
from halfbyte.prompt.tools.python_values import Reader, spelled

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.text(max_size=12)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner,
                                                                 max_size=3),
    max_leaves=8,
)  # fmt: skip


def read(text: str) -> Any:
    reader = Reader(text)
    value = reader.value()
    assert not reader.skip()
    return value


@settings(max_examples=100)
@given(VALUES)
def test_what_python_and_json_write_is_read(value: Any) -> None:
    for text in (repr(value), json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
        assert read(text) == value
    assert read(spelled(value)) == value


@pytest.mark.parametrize(
    "text",
    ["'it\\'s'", '"a\\tb\\\\n"', "'''two\n'lines' '''", '"""a "b" c"""', r"'\d+\w'",
     "'\\x41\\u00e9'",
     "[1, 2,]", "(1, 'a')", "{'a': [True, None]}", "-3.5e2", "1_000", "'a\\\nb'", "+1"],
)  # fmt: skip
def test_texts_mean_what_they_mean_in_python(text: str) -> None:
    expected = eval_quietly(text)
    assert read(text) == (list(expected) if isinstance(expected, tuple) else expected)


def eval_quietly(text: str) -> Any:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of escapes that are none
        return ast.literal_eval(text)


def test_words_of_json_and_halves_of_characters() -> None:
    assert read('[true, false, null, "\\ud83d\\ude00"]') == [True, False, None, "😀"]


@pytest.mark.parametrize(
    "text", ["", "[", "[1", "{'a' 1}", "{1: 2}", "'open", "nothing", "1e999", "{", "[1 2]",
             "[" * 100_000, "-", "{'a':"],
)  # fmt: skip
def test_what_is_no_value_says_why(text: str) -> None:
    with pytest.raises(MalformedCall, match="expected"):
        read(text)
