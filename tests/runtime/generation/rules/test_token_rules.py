"""What a caller may ask of tokens and texts, and what not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import halfbyte
from halfbyte.errors import HalfbyteError, RequestError
from halfbyte.generation.rules.token_rules import TokenRules


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return halfbyte.load("infill-10m", threads=1).tokenizer


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("logit_bias", value) for value in (
            None, 3, "x", [(1, 2)], {-1: 0}, {10**9: 0}, {True: 1}, {1.0: 1}, {"": 1},
            {"two tokens, surely": 1}, {1: math.nan}, {1: math.inf}, {1: 1001}, {1: -1e30},
            {1: "0"}, {1: True}, {None: 1})],
        *[("min_tokens", value) for value in (-1, 1.0, True, "1", None)],
        *[("bad_words", value) for value in (
            3, None, {"a": 1}, b"a", [""], [[]], [[-1]], [[10**9]], [[1.0]], [3], [b"a"],
            ["x"] * 10_001, [[1] * 65], "")],
        *[("banned_strings", value) for value in (
            "", [""], 3, None, [3], [b"a"], {"a": 1}, "a" * 257, [str(i) for i in range(257)])],
    ],
)  # fmt: skip
def test_bad_values_name_the_parameter(tokenizer: Any, name: str, value: Any) -> None:
    with pytest.raises(RequestError) as caught:
        TokenRules.split(tokenizer, {name: value})
    assert caught.value.param == name and caught.value.expected


@pytest.mark.parametrize("name", ["bad_words", "banned_strings"])
def test_half_characters(tokenizer: Any, name: str) -> None:
    with pytest.raises(HalfbyteError):
        TokenRules.split(tokenizer, {name: "\ud800"})


def test_what_comes_of_them(tokenizer: Any) -> None:
    word = tokenizer.encode_fragment(" self")
    assert len(word) == 1
    rules, rest = TokenRules.split(
        tokenizer,
        {"logit_bias": {" self": -2, np.int64(5): -math.inf}, "min_tokens": 3, "top_k": 1,
         "bad_words": ["self", [1, 2]], "banned_strings": ("a", "b", "a")},
    )  # fmt: skip
    assert rest == {"top_k": 1}
    assert rules.logit_bias == ((word[0], -2.0), (5, -math.inf))
    spelled = tuple(tokenizer.encode_fragment("self"))
    assert rules.bad_words == (spelled, tuple(word), (1, 2))
    assert (rules.min_tokens, rules.banned_strings) == (3, ("a", "b"))
    hash(rules)
    assert len(rules.rules(tokenizer, [1], [], {2})) == 3
    assert TokenRules().rules(tokenizer, [1], [], {2}) == []
    assert TokenRules.split(tokenizer, {"bad_words": "self"})[0].bad_words == (spelled, tuple(word))
    with pytest.raises(RequestError, match="each token once"):
        TokenRules.split(tokenizer, {"logit_bias": {" self": 1, word[0]: 1}})


def test_the_least_length_lies_below_the_most() -> None:
    TokenRules(min_tokens=3).check_length(3)
    with pytest.raises(RequestError, match="min_tokens: expected at most max_tokens, 2"):
        TokenRules(min_tokens=3).check_length(2)
