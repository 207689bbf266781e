"""Thoughts are free, and what follows them is in its grammar."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from halfbyte.constraints.constraint import Constraint
from halfbyte.constraints.grammar import Grammars
from halfbyte.generation.rules.after_thoughts import AfterThoughts
from halfbyte.generation.rules.thoughts import Thoughts
from halfbyte.models import catalogue
from halfbyte.tokenizer import Tokenizer

MARKS = ("<think>", "</think>")


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_path(catalogue.resolve("infill-10m"))


def _allowed(rule: AfterThoughts, tokenizer: Tokenizer) -> set[int]:
    row = np.zeros(tokenizer.n_vocab, np.float32)
    rule.change(row)
    return set(np.flatnonzero(np.isfinite(row)).tolist())


@pytest.fixture
def make(tokenizer: Tokenizer) -> Callable[..., AfterThoughts]:
    grammar = Grammars(tokenizer).compiled(Constraint("choices", '["yes", "no"]'))
    after = tokenizer.encode_fragment("\n\n")

    def made(*, is_within: bool, thought_id: int | None = None) -> AfterThoughts:
        thoughts = Thoughts(tokenizer.token_bytes, MARKS, is_within=is_within)
        return AfterThoughts(
            grammar.matcher, tokenizer.eog_ids, thoughts=thoughts, thought_id=thought_id,
            after=after,
        )  # fmt: skip

    return made


def test_a_thought_is_free_but_for_the_end(
    tokenizer: Tokenizer, make: Callable[..., AfterThoughts]
) -> None:
    rule = make(is_within=True)
    everything = set(range(tokenizer.n_vocab)) - tokenizer.eog_ids
    for token in tokenizer.encode_fragment("hm</think>"):
        assert _allowed(rule, tokenizer) == everything
        rule.accept(token)
    for token in tokenizer.encode_fragment("\n\n"):
        assert _allowed(rule, tokenizer) == {token}
        rule.accept(token)
    begins = {tokenizer.token_bytes(token) for token in _allowed(rule, tokenizer)}
    assert begins <= {b"y", b"ye", b"yes", b"n", b"no"} and len(begins) > 1
    for token in tokenizer.encode_fragment("yes"):
        rule.accept(token)
    assert _allowed(rule, tokenizer) == tokenizer.eog_ids


def test_a_thought_may_begin_only_first(
    tokenizer: Tokenizer, make: Callable[..., AfterThoughts]
) -> None:
    token = tokenizer.encode_fragment("hm")[0]
    rule = make(is_within=False, thought_id=token)
    assert token in _allowed(rule, tokenizer)
    assert token not in _allowed(make(is_within=False), tokenizer)
    rule.accept(tokenizer.encode_fragment("no")[0])
    assert token not in _allowed(rule, tokenizer)
