"""Normalizers: what is taken, what is refused, and that texts in parts are spelled as whole ones.

That they make the package's ids is shown in test_byte_level_json.py.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfbyte.errors import ConversionError, ModelFileError
from halfbyte.tokenizer.normalization import Normalizer
from halfbyte.tokenizer.vocabulary import NO_NORMALIZER

LOCAL = ["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents"]


def refuse(expected: str, got: object) -> ModelFileError:
    return ConversionError("tokenizer.json", "normalizer", expected=expected, got=repr(got))


@given(st.text(), st.text(), st.sampled_from(["a", "é", "ß", "한", "ก"]), st.sampled_from(LOCAL))
def test_local_ones_may_be_cut_before_a_newline(a: str, b: str, letter: str, kind: str) -> None:
    made = Normalizer({"type": kind}, refuse)
    spell = made.backend.normalize_str
    assert made.is_local
    assert spell(f"{a}{letter}\n{b}") == spell(f"{a}{letter}") + spell(f"\n{b}")


def test_none_and_the_text_of_one() -> None:
    assert Normalizer(None, refuse).backend is None
    assert Normalizer({"type": "Sequence", "normalizers": []}, refuse).backend is None
    strip = {"type": "Strip", "strip_left": True, "strip_right": False}
    made = Normalizer({"type": "Sequence", "normalizers": [strip, {"type": "NFC"}]}, refuse)
    again = Normalizer.of_text(made.text, refuse)
    for one in (made, again):
        assert one.backend.normalize_str(" e\u0301 ") == "é " and not one.is_local


def test_an_empty_sequence_is_none() -> None:
    nothing = {"type": "Sequence", "normalizers": []}
    for spec in (nothing, {"type": "Sequence", "normalizers": [nothing, nothing]}):
        made = Normalizer(spec, refuse)
        assert made.backend is None and made.text == NO_NORMALIZER


def nested(depth: int) -> Any:
    spec: Any = {"type": "NFC"}
    for _ in range(depth):
        spec = {"type": "Sequence", "normalizers": [spec]}
    return spec


@pytest.mark.parametrize(
    "spec",
    [
        5, "NFC", [], {}, {"type": 3}, {"type": "NFC", "more": 1}, nested(50),
        {"type": "Sequence", "normalizers": None}, {"type": "Sequence", "normalizers": [None]},
        {"type": "Precompiled", "precompiled_charsmap": "AAAA"}, {"type": "Nmt"},
        {"type": "BertNormalizer"}, {"type": "ByteLevel"},
        {"type": "Strip", "strip_left": 1, "strip_right": True}, {"type": "Strip"},
        {"type": "Prepend"}, {"type": "Prepend", "prepend": "\ud800"},
        {"type": "Replace", "pattern": {"Regex": "(a*)*b"}, "content": ""},
        {"type": "Replace", "pattern": {"String": ""}, "content": "a"},
        {"type": "Replace", "pattern": "a", "content": "b"},
        {"type": "Replace", "pattern": {"String": "a"}, "content": None},
        {"type": "Sequence", "normalizers": [{"type": "NFC"}] * 17},
        {"type": "Sequence", "normalizers": [
            {"type": "Replace", "pattern": {"String": "a"}, "content": "aaaa"}] * 4},
    ],
)  # fmt: skip
def test_others_are_refused_by_name(spec: Any) -> None:
    with pytest.raises(ConversionError, match="normalizer: expected"):
        Normalizer(spec, refuse)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"type": "Nmt"}'])
def test_broken_text_of_a_file(text: str) -> None:
    with pytest.raises(ConversionError, match="normalizer: expected"):
        Normalizer.of_text(text, refuse)
