"""What bare texts stand for, by the schemas of the arguments that they are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halfbyte.prompt.tools.call_format import MalformedCall
from halfbyte.prompt.tools.parameters import Parameters

TEXT_OR_NONE = {"anyOf": [{"type": "string"}, {"type": "null"}]}
KNOWN: dict[str, Any] = {
    "text": {"type": "string"},
    "n": {"type": "integer"},
    "x": {"type": "number"},
    "is": {"type": "boolean"},
    "list": {"type": "array"},
    "maybe": TEXT_OR_NONE,
    "either": {"type": ["integer", "string"]},
    "any": {},
    "enum": {"enum": ["a", 3]},
    "digit": {"type": ["string", "integer"], "enum": ["1", 2, "true"]},
    "referred": {"$ref": "#/$defs/digit"},
    "const": {"const": "7"},
    "point": {"$ref": "#/$defs/point"},
    "all": {"allOf": [{"title": "t"}, {"type": "integer"}]},
    "loop": {"$ref": "#/properties/loop"},
}
POINT = {"type": "object", "properties": {"x": {"type": "integer"}}}
SCHEMA = {"type": "object", "properties": KNOWN, "$defs": {"point": POINT, "digit": KNOWN["digit"]}}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("text", "3", "3"), ("text", '"a"', '"a"'), ("text", "null", "null"), ("text", "", ""),
        ("n", "3", 3), ("n", " 3\n", 3), ("n", "3.0", 3), ("x", "3", 3), ("x", "3.5", 3.5),
        ("is", "true", True), ("is", "False", False), ("list", '[1, "a"]', [1, "a"]),
        ("list", "['a', None]", ["a", None]), ("maybe", "null", None), ("maybe", "None", None),
        ("maybe", "3", "3"), ("maybe", "abc", "abc"), ("either", "3", 3), ("either", "3a", "3a"),
        ("any", "{'a': (1, 2)}", {"a": [1, 2]}), ("any", '"a"', '"a"'), ("any", "a b", "a b"),
        ("any", "NaN", "NaN"), ("enum", "3", 3), ("enum", "a", "a"),
        ("digit", "1", "1"), ("digit", "2", 2), ("digit", "true", "true"), ("referred", "1", "1"),
        ("const", "7", "7"),
        ("point", '{"x": 1}', {"x": 1}), ("all", "7", 7), ("unknown", "7", 7), ("loop", "x", "x"),
    ],
)  # fmt: skip
def test_a_text_is_what_its_schema_says(name: str, text: str, value: object) -> None:
    found = Parameters(SCHEMA).value(name, text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("name", "text"),
    [("n", "three"), ("n", "3.5"), ("n", "true"), ("is", "yes"), ("list", "{}"), ("point", "[]"),
     ("x", "NaN"), ("x", "1e999"), ("list", "[-1e999]"),
     ("x", "1" * 5000 + "e"), ("list", "[" * 100_000), ("n", "")],
)  # fmt: skip
def test_what_it_may_not_be_is_named(name: str, text: str) -> None:
    with pytest.raises(MalformedCall, match=f"{name}: expected"):
        Parameters(SCHEMA).value(name, text)


@settings(max_examples=50)
@given(st.text(max_size=20), st.sampled_from(sorted(KNOWN)))
def test_any_text_has_a_value_or_none(text: str, name: str) -> None:
    try:
        Parameters(SCHEMA).value(name, text)
    except MalformedCall:
        assert "string" not in Parameters(SCHEMA).kinds(name)
