"""Counted repetitions count as what they stand for."""

from __future__ import annotations

from typing import Any

import pytest

from halfbyte.constraints.constraint import Constraint
from halfbyte.constraints.written_out import length_of
from halfbyte.errors import RequestError


@pytest.mark.parametrize(
    ("text", "n"),
    [
        ("abc", 3),
        ("ab{4}c", 6),
        ("ab{4,}c{0,9}", 6),
        ("(ab){3}", 6),
        ("((ab){3}c){2}", 14),
        ("[a-z)]{5}", 5),
        (r"\({3}\p{Greek}{4}", 7),
        ("(a|bc){10}", 30),
        ("a*b+c?", 3),
        ("(ab", 2),
        ("ab)c{2}", 5),
        ("(a{1000}){1000}", 1_000_000),
        ('x"ab"{3}', 7),
        ('"a{70}"', 72),
        ("a~7[]a]{2}[^]{3}]b", 7),
        ("[" * 9, 1),
        ("a{" + "9" * 5000 + "}", 5003),
        ("", 0),
    ],
)
def test_lengths_by_hand(text: str, n: int) -> None:
    assert length_of(text) == n


def test_a_quoted_text_is_repeated_as_a_whole() -> None:
    assert length_of('"(a"{3} "b"~2', has_texts=True) == 4 * 3 + 1 + 3 * 2


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ({"regex": "(a{1000}){1000}"}, "regex"),
        ({"regex": "b|(a{1000}){70}"}, "regex"),
        ({"json_schema": {"items": {"pattern": "^a{70000}$"}}}, "json_schema"),
        ({"json_schema": {"patternProperties": {"a{70000}": {}}}}, "json_schema"),
        ({"grammar": "start: A\nA: /(a{1000}){70}/"}, "grammar"),
        ({"grammar": 'start: A\nA: ("ab"{1000} "c"){70}'}, "grammar"),
        ({"grammar": 'root ::= ("ab"{1000} "c"){70}'}, "grammar"),
    ],
)
def test_what_would_be_too_long_is_refused_at_once(asked: dict[str, Any], name: str) -> None:
    with pytest.raises(RequestError, match="65,536 characters with its counted") as caught:
        Constraint.split(asked)
    assert caught.value.param == name


def test_what_is_long_as_it_stands_is_not() -> None:
    for text in ("ab" * 40_000, "[a-z]{1,60000}", "(a{250}){250}"):
        assert Constraint.split({"regex": text})[0]
