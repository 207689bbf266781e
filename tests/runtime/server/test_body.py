"""How deep JSON nests, found in time that grows with its length alone."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfbyte.server.body import check_structure, read_object
from halfbyte.server.fault import Fault

_TEXTS = st.text('"\\\\[]{}a\\u00e9\\n', max_size=6)
_VALUES = st.recursive(
    _TEXTS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3)
)


def depth_of(value: object) -> int:
    """How deep a value nests, the slow way."""
    if isinstance(value, (dict, list)):
        inner = value.values() if isinstance(value, dict) else value
        return 1 + max(map(depth_of, inner), default=0)
    return 0


@given(value=_VALUES, ascii_only=st.booleans())
def test_brackets_within_texts_are_no_levels(value: object, ascii_only: bool) -> None:
    body, depth = json.dumps(value, ensure_ascii=ascii_only).encode(), depth_of(value)
    check_structure(body, depth)
    if depth:
        with pytest.raises(Fault):
            check_structure(body, depth - 1)


@pytest.mark.parametrize("tail", [b'"' + b"a" * 10_000, b'"' + b'\\"' * 10_000, b'"a\\'])
def test_a_text_that_does_not_end_is_read_once(tail: bytes) -> None:
    """A pattern that tries each way to cut such a text up takes longer than anybody waits."""
    with pytest.raises(Fault) as caught:
        read_object(b"[" + b"[]," * 100 + tail, "application/json", 64)
    assert caught.value.message.startswith("body: expected JSON, got")


@pytest.mark.parametrize(
    ("one", "n_most", "said"),
    [
        (b"{},", 49_999, "50,000 lists, objects and names"),
        (b'{"a":1},', 24_999, "50,000 lists, objects and names"),
        (b"1,", 249_999, "250,000 values"), (b'"",', 249_999, "250,000 values"),
    ],
)  # fmt: skip
def test_values_are_counted(one: bytes, n_most: int, said: str) -> None:
    check_structure(b"[" + one * n_most, 64)
    with pytest.raises(Fault, match=said):
        check_structure(b"[" + one * (n_most + 1), 64)
    check_structure(b'["' + one.replace(b'"', b"") * (n_most + 1) + b'"', 64)


@pytest.mark.parametrize("number", [b"1e999", b"-1e999", b"1" + b"0" * 400 + b".0"])
def test_a_number_is_finite(number: bytes) -> None:
    with pytest.raises(Fault, match="expected numbers that 64 bits hold"):
        read_object(b'{"tools": [{"x": %b}]}' % number, "", 64)
