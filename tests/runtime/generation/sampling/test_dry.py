"""DRY by hand; test_chain.py has llama.cpp's results."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest

from halfbyte.generation.sampling import dry
from halfbyte.tokenizer import Tokenizer


def repeats(text: str, allowed: int, breakers: str = "") -> dict[str, int]:
    tokens = np.array([ord(char) for char in text], np.int64)
    tails = lambda token: [()] if chr(token) in breakers else []  # noqa: E731
    found = dry.longest_repeats(tokens, allowed, 1.75, tails)
    return {chr(token): n for token, n in found.items()}


def test_what_would_go_on() -> None:
    assert repeats("abccbcyabc", 1) == {"c": 3, "b": 1, "y": 2}
    assert repeats("abccbcyabc", 2) == {"c": 3, "y": 2}
    assert repeats("abccbcyabc", 4) == repeats("ab", 2) == repeats("", 1) == {}
    assert repeats("aaaa", 1) == {"a": 3}


def test_breakers_bound_a_repetition_and_are_not_penalized() -> None:
    assert repeats("ab.c ab.c ab.c", 1, breakers=".") == {" ": 1}
    assert repeats("a.a.a", 1, breakers=".") == {}
    assert repeats("abc.", 1, breakers=".") == {}


def test_longer_than_counts_is_not_looked_at() -> None:
    (length,) = repeats("a" * 3000, 2).values()
    assert length == 2 + 158  # 1.75 to that power is what 32 bits hold


def test_penalties_grow() -> None:
    less = dry.penalties({7: 2, 8: 4, 9: 500}, 0.5, 2.0, 2)
    assert less.tolist() == [0.5, 2.0, pytest.approx(0.5 * 2.0**127)]


class Words:
    """Tokens that spell parts of breakers, and a control token."""

    def token_bytes(self, token: int) -> bytes:
        return [b"a\n", b"x</", b"think>", b"", b"<<"][token]

    def piece(self, token: int) -> str:
        return "<|end|>"

    def encode_fragment(self, text: str) -> list[int]:
        return {"think>": [1, 2], "/think>": [5], "</think>": [6]}[text]


def test_breakers_begin_in_tokens() -> None:
    breakers = dry.Breakers(cast(Tokenizer, Words()), ["\n", "</think>", "end"])
    assert [breakers.tails(i) for i in range(5)] == [[()], [(1, 2)], [], [()], [(5,)]]
