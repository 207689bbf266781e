"""Following an answer's tokens: what may come, what has to, and where it may end."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest

from halfbyte.constraints import matcher as matchers
from halfbyte.constraints.constraint import Constraint
from halfbyte.constraints.grammar import Grammars
from halfbyte.constraints.matcher import Matcher
from halfbyte.errors import RequestError
from halfbyte.tokenizer import Tokenizer


def allowed(matcher: Matcher) -> set[int]:
    bits = np.unpackbits(matcher.allowed(), bitorder="little")[: matcher.grammar.n_vocab]
    return set(np.flatnonzero(bits).tolist())


def take(matcher: Matcher, tokens: list[int]) -> None:
    for token in tokens:
        matcher.accept(token)


WORDS = ["import", "in port", "importé"]


def test_what_may_come_is_what_spells_a_beginning(grammars: Grammars) -> None:
    """The slow twin: all tokens, one by one, as bytes."""
    tokenizer: Tokenizer = grammars._tokenizer
    matcher = grammars.compiled(Constraint("choices", '["import","in port","importé"]')).matcher()
    so_far = b""
    while not matcher.is_over:
        texts = {token: so_far + tokenizer.token_bytes(token) for token in tokenizer.text_ids}
        fits = {t for t, text in texts.items() if len(text) > len(so_far)
                and any(word.encode().startswith(text) for word in WORDS)}  # fmt: skip
        forced = matcher.forced()
        assert allowed(matcher) == (fits if forced is None else {forced}) <= fits
        assert matcher.is_complete == (so_far.decode(errors="replace") in WORDS)
        token = max(fits, key=lambda t: (len(texts[t]), t)) if forced is None else forced
        so_far = texts[token]
        matcher.accept(token)
    assert so_far == "importé".encode() and matcher.is_complete


def test_no_special_token_may_come(compiled: Any, grammars: Grammars) -> None:
    tokenizer: Tokenizer = grammars._tokenizer
    may = allowed(compiled(regex="(.|\n)*").matcher())
    assert may <= set(tokenizer.text_ids) and not may & tokenizer.eog_ids
    assert len(may) > 500


def test_forced_tokens_are_the_vocabularys_own(grammars: Grammars) -> None:
    tokenizer: Tokenizer = grammars._tokenizer
    text = "return self.name"
    matcher = grammars.compiled(Constraint("regex", r"return self\.name[0-9]")).matcher()
    tokens = tokenizer.encode_fragment(text)
    assert matcher.all_forced() == tokens[: len(matcher.all_forced())] != []
    first = matcher.forced()
    assert first is not None
    matcher.accept(first)
    assert matcher.forced() == tokens[1]
    rest = tokenizer.encode_fragment(text)[1:]
    take(matcher, rest)
    assert matcher.forced() is None and not matcher.is_complete and not matcher.is_over


def test_guesses_are_counted_and_nothing_is_taken(compiled: Any, grammars: Grammars) -> None:
    tokenizer: Tokenizer = grammars._tokenizer
    matcher = compiled(regex="[ab]+c").matcher()
    guess = [tokenizer.encode_fragment(c)[0] for c in "abxb"]
    assert matcher.n_possible(guess) == matcher.n_likely(guess) == 2
    assert matcher.n_possible(guess[2:]) == 0
    assert set(guess[:2]) <= allowed(matcher)


def test_a_copy_goes_its_own_way(compiled: Any, grammars: Grammars) -> None:
    tokenizer: Tokenizer = grammars._tokenizer
    a, b = (tokenizer.encode_fragment(c)[0] for c in "ab")
    first = compiled(grammar='start: "a" "b" | "b" "a"').matcher()
    second = first.copy()
    first.accept(a)
    second.accept(b)
    assert (allowed(first), allowed(second)) == ({b}, {a})


def test_a_token_that_cannot_come_is_an_error(compiled: Any, grammars: Grammars) -> None:
    tokenizer: Tokenizer = grammars._tokenizer
    matcher = compiled(regex="a+").matcher()
    with pytest.raises(RequestError, match="regex: expected what the vocabulary's tokens can"):
        matcher.accept(tokenizer.encode_fragment("b")[0])


def test_what_has_too_many_ways_on_is_told_so(compiled: Any, grammars: Grammars) -> None:
    properties = {f"v{i}": {"type": "integer"} for i in range(700)}
    with pytest.raises(RequestError, match="can be followed in bounded time and memory"):
        matcher = compiled(json_schema={"type": "object", "properties": properties}).matcher()
        for token in grammars._tokenizer.encode_fragment('{"'):
            matcher.accept(token)
            matcher.allowed()


def test_what_a_matcher_learned_serves_the_next(compiled: Any, grammars: Grammars) -> None:
    tokenizer: Tokenizer = grammars._tokenizer
    grammar = compiled(regex="x[ab]+y")
    for _ in range(3):
        matcher = grammar.matcher()
        take(matcher, tokenizer.encode_fragment("xab"))
        state = matcher._state
        del matcher
        gc.collect()
        assert grammar._spare[-1] is state
    begin = grammar.matcher()
    assert begin._state is state and begin.forced() == tokenizer.encode_fragment("x")[0]


def test_tokens_can_be_taken_back(compiled: Any, grammars: Grammars) -> None:
    tokenizer: Tokenizer = grammars._tokenizer
    a, b, c = (tokenizer.encode_fragment(letter)[0] for letter in "abc")
    matcher = compiled(regex="a(bx|c)").matcher()
    before = allowed(matcher)
    take(matcher, [a, c])
    assert matcher.is_over and matcher.is_complete
    matcher.rewind(1)
    assert not matcher.is_over and {b, c} <= allowed(matcher)
    matcher.accept(b)
    assert matcher.forced() == tokenizer.encode_fragment("x")[0]
    matcher.rewind(2)
    assert allowed(matcher) == before and matcher.forced() is None


def test_a_grammar_that_takes_ever_longer_is_given_up(
    compiled: Any, grammars: Grammars, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each token can be part of the ones before it in more ways: others would wait for minutes."""
    monkeypatch.setattr(matchers, "_FREE_S", 0.0)
    monkeypatch.setattr(matchers, "_MOST_S", 0.02)
    tokens = grammars._tokenizer.encode_fragment("import type as type foo bar baz " * 8)
    matcher = compiled(grammar='root ::= s\ns ::= s s | s s s | [a-z ] | ""').matcher()
    assert 0 < matcher.n_likely(tokens) < len(tokens)
    with pytest.raises(RequestError, match="bounded time"):
        take(matcher, tokens)
    easy = compiled(regex="[a-z ]*").matcher()
    monkeypatch.setattr(matchers, "_FREE_S", 1.0)
    assert easy.n_likely(tokens) == easy.n_possible(tokens) == len(tokens)
