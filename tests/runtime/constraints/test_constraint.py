"""What a call's keywords ask an answer to be, before any vocabulary is looked at."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from halfbyte.constraints.constraint import MAX_NCHARS, Constraint
from halfbyte.errors import RequestError


def test_a_constraint_is_taken_out_of_the_keywords() -> None:
    made, rest = Constraint.split({"choices": ["a", "é"], "max_tokens": 3, "regex": None})
    assert made == Constraint("choices", '["a","é"]')
    assert rest == {"max_tokens": 3}
    made, _ = Constraint.split({"json_schema": {"type": "string"}, "json_whitespace": True})
    assert made == Constraint("json_schema", '{"type":"string"}', has_whitespace=True)
    assert Constraint.split({"seed": 1}) == (None, {"seed": 1})


BAD: list[tuple[dict[str, Any], str]] = [
    ({"regex": "a", "json_schema": {}}, "regex: expected nothing beside json_schema"),
    ({"choices": ["a"], "grammar": "start: A"}, "choices: expected nothing beside grammar"),
    ({"json_whitespace": True}, "json_whitespace: expected a json_schema beside it"),
    ({"json_schema": {}, "json_whitespace": 1}, "json_whitespace: expected True or False"),
    ({"regex": ""}, "regex: expected a regular expression, as a text"),
    ({"regex": b"a"}, "regex: expected a regular expression, as a text"),
    ({"regex": "a" * (MAX_NCHARS + 1)}, "regex: expected at most 262,144 characters"),
    ({"grammar": "".join(f"r{i} ::= x\n" for i in range(4001))}, "at most 4,000 rules, got 4001"),
    ({"grammar": "".join(f"?R{i}.2 : x\n" for i in range(4001))}, "at most 4,000 rules, got 4001"),
    ({"regex": "\ud800"}, "regex: expected Unicode characters"),
    ({"grammar": 3}, "grammar: expected a grammar as Lark or GBNF writes it"),
    ({"choices": []}, "choices: expected a list of texts"),
    ({"choices": "ab"}, "choices: expected a list of texts"),
    ({"choices": ["a", ""]}, "choices: expected a list of texts that are not empty, got ''"),
    ({"choices": ["a", 1]}, "choices: expected a list of texts that are not empty, got 1"),
    ({"choices": np.array(["a"])}, "choices: expected a list of texts"),
]  # fmt: skip


@pytest.mark.parametrize(("keywords", "text"), BAD)
def test_what_cannot_be_read_is_named(keywords: dict[str, Any], text: str) -> None:
    with pytest.raises(RequestError) as caught:
        Constraint.split(keywords)
    assert text in str(caught.value)
