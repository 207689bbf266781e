"""A grammar as a rule: which logits it leaves, and where an answer may end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from halfbyte.constraints.constraint import Constraint
from halfbyte.constraints.grammar import Grammars
from halfbyte.errors import RequestError
from halfbyte.generation.rules.grammar_rule import GrammarRule
from halfbyte.models import catalogue
from halfbyte.tokenizer import Tokenizer

RNG = np.random.default_rng(3)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_path(catalogue.resolve("infill-10m"))


@pytest.fixture(scope="module")
def rule(tokenizer: Tokenizer) -> Any:
    """Makes a rule: rule("regex", "a+", ends)."""
    grammars = Grammars(tokenizer)

    def make(kind: Any, source: str, ends: frozenset[int] = tokenizer.eog_ids) -> GrammarRule:
        return GrammarRule(grammars.compiled(Constraint(kind, source)).matcher(), ends)

    return make


def row_of(tokenizer: Tokenizer) -> NDArray[np.float32]:
    row = RNG.standard_normal(tokenizer.n_vocab).astype(np.float32)
    row[5] = np.inf  # as another rule may leave it
    return row


def test_what_may_come_keeps_its_bits_and_the_rest_is_forbidden(
    tokenizer: Tokenizer, rule: Any
) -> None:
    made = rule("regex", "[a-c]+x")
    for text in ("ab", "c"):
        row = row_of(tokenizer)
        before = row.copy()
        made.change(row)
        may = made.matcher.allowed_after([])
        assert 3 < may.sum() < 200
        assert np.array_equal(row[may].view(np.int32), before[may].view(np.int32))
        assert np.isneginf(row[~may]).all()
        for token in tokenizer.encode_fragment(text):
            made.accept(token)


def test_an_answer_ends_only_where_it_is_whole(tokenizer: Tokenizer, rule: Any) -> None:
    made = rule("regex", "aa?", frozenset({2, 8010}))
    a = tokenizer.encode_fragment("a")[0]
    rows = []
    for _ in range(2):
        row = row_of(tokenizer)
        made.change(row)
        rows.append(row)
        assert made.is_complete == (len(rows) == 2) and not made.is_over
        made.accept(a)
    assert made.is_over and made.is_complete
    assert np.isneginf(rows[0][[2, 8010]]).all() and np.isfinite(rows[1][[2, 8010]]).all()
    assert set(np.flatnonzero(rows[1] > -np.inf)) >= {2, 8010, a}


def test_a_forced_token_is_the_only_one(tokenizer: Tokenizer, rule: Any) -> None:
    made = rule("choices", '["return self"]')
    row = row_of(tokenizer)
    made.change(row)
    assert np.flatnonzero(row > -np.inf).tolist() == [made.forced]
    assert made.all_forced() == tokenizer.encode_fragment("return self")


def test_nothing_left_is_an_error_that_names_the_argument(tokenizer: Tokenizer, rule: Any) -> None:
    row = np.full(tokenizer.n_vocab, -np.inf, np.float32)
    row[tokenizer.encode_fragment("z")] = 1.0
    with pytest.raises(RequestError, match="regex: expected a token that the call's other argu"):
        rule("regex", "[ab]+").change(row)
    with pytest.raises(RequestError, match="regex: expected a token that the call's other argu"):
        rule("regex", "[ab]+").left(row)


@pytest.mark.parametrize(
    ("kind", "source", "texts"),
    [
        ("regex", "[a-c]+x", ["ab", "c", "x"]), ("regex", r"[^\n]*", ["a b", "("]),
        ("regex", "aa?", ["a"]), ("choices", '["return self"]', ["return"]),
    ],
)  # fmt: skip
def test_what_is_left_is_what_a_changed_row_has(
    tokenizer: Tokenizer, rule: Any, kind: str, source: str, texts: list[str]
) -> None:
    """End tokens, one of which is a text, where the answer may end and where it may not."""
    made = rule(kind, source, frozenset({2, 8010, *tokenizer.encode_fragment("b")}))
    for text in ["", *texts]:
        for token in tokenizer.encode_fragment(text):
            made.accept(token)
        if made.is_over:
            break
        row = row_of(tokenizer)
        row[[5, 300, 301]] = -np.inf  # as other rules leave them
        before = row.copy()
        ids, logits = made.left(row)
        assert np.array_equal(row, before)
        made.change(row)
        assert np.array_equal(ids, np.flatnonzero(row > -np.inf))
        assert np.array_equal(logits.view(np.int32), row[ids].view(np.int32))


def test_a_fork_goes_its_own_way(tokenizer: Tokenizer, rule: Any) -> None:
    first = rule("choices", '["ab","ba"]')
    second = first.fork()
    for made, letter in ((first, "a"), (second, "b")):
        made.accept(tokenizer.encode_fragment(letter)[0])
    assert (first.forced, second.forced) == tuple(
        tokenizer.encode_fragment(letter)[0] for letter in "ba"
    )
