"""Counted repetitions count as what they stand for."""

from __future__ import annotations

from typing import Any

import pytest

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
        ("(a|bc){10}", 20),
        ("a*b+c?", 3),
        ("(ab", 2),
        ("ab)c{2}", 5),
        ("(a{1000}){1000}", 1_000_000),
        ('x"ab"{3}', 7),
        ('"a{70}"', 72),
        ("a~7[]a]{2}[^]{3}]b", 7),
        ("[" * 9, 1),
        ("a{" + "9" * 5000 + "}", 5003),
        ("abc|d", 3),
        ("a|(b|cd(e|fgh))i|j", 6),
        ("a|(b", 2),
        ("", 0),
    ],
)
def test_lengths_by_hand(text: str, n: int) -> None:
    assert length_of(text) == n


LONG = "ab" * 20_000


@pytest.mark.parametrize(
    "asked",
    [
        {"regex": "(a{1000}){1000}"},
        {"regex": "b|(a{1000}){70}"},
        {"regex": f"x|{LONG}"},
        {"choices": ["x", LONG]},
        {"json_schema": {"items": {"pattern": "^a{70000}$"}}},
        {"json_schema": {"patternProperties": {"a{70000}": {}}}},
        {"json_schema": {"const": LONG}},
        {"json_schema": {"enum": ["x", [LONG]]}},
        {"json_schema": {"properties": {LONG: {}}}},
        {"json_schema": {"type": "object", "required": [LONG]}},
        {"grammar": "start: A\nA: /(a{1000}){70}/"},
        {"grammar": 'start: A\nA: ("ab"{1000} "c"){70}'},
        {"grammar": 'root ::= ("ab"{1000} "c"){70}'},
        {"grammar": f'start: "x" | "{LONG}"'},
        {"grammar": "start: A0\n" + "".join(f"A{i}: A{i + 1} A{i + 1}\n" for i in range(40))
                    + 'A40: "ab"'},
        {"grammar": f'start: "x" s::1\ns::_ : "{LONG}"'},
    ],
)  # fmt: skip
def test_what_would_be_too_long_is_refused_at_once(compiled: Any, asked: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match="32,768 characters in a row") as caught:
        compiled(**asked)
    assert caught.value.param == next(iter(asked)) and len(str(caught.value)) < 400


def test_what_is_long_in_all_but_not_in_a_row_is_not(compiled: Any) -> None:
    words = [f"word{i}" * 20 for i in range(1500)]
    for asked in (
        {"regex": "|".join(words)}, {"regex": "[a-z]{1,60000}"}, {"choices": words},
        {"grammar": "start: " + " | ".join(f"r{i}" for i in range(1500)) + "\n"
                    + "".join(f'r{i}: "{word}"\n' for i, word in enumerate(words))},
        {"json_schema": {"enum": words}},
    ):  # fmt: skip
        assert compiled(**asked)
