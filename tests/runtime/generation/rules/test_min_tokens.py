"""The least length of an answer."""

from __future__ import annotations

import numpy as np

from halfbyte.generation.rules.min_tokens import MinTokens


def may_end(rule: MinTokens) -> bool:
    row = np.zeros(4, np.float32)
    rule.change(row)
    assert np.isneginf(row[[1, 3]]).all() == np.isneginf(row[[1, 3]]).any()
    assert (row[[0, 2]] == 0).all()
    return row[1] == 0


def test_no_end_before_enough_tokens() -> None:
    rule = MinTokens(2, {1, 3}, lambda token: b"xyz"[:token])
    seen = []
    for token in (0, 2, 2):
        seen.append(may_end(rule))
        rule.accept(token)
    assert seen == [False, False, True] and may_end(rule)
    rule.rewind(2)
    assert not may_end(rule)


def test_what_spells_the_prompts_end_does_not_count() -> None:
    rule = MinTokens(1, {1, 3}, lambda token: b"xyz"[:token], n_skipped=4)
    for token in (2, 2):  # four bytes
        assert not may_end(rule)
        rule.accept(token)
    assert not may_end(rule)
    rule.accept(2)
    assert may_end(rule)
    longer = MinTokens(1, {1, 3}, lambda token: b"xyz"[:token], n_skipped=3)
    longer.accept(2)
    longer.accept(2)  # one byte of it is the answer's
    assert may_end(longer)
