"""Biases by hand: what golden calls do not tell apart."""

from __future__ import annotations

import numpy as np

from halfbyte.hf.processors.biases import FiniteScores, SequenceBias, Suppressed, bad_words


def row() -> np.ndarray:
    return np.arange(6, dtype=np.float32)


def test_biases_of_one_token_add_up() -> None:
    bias = SequenceBias({(3,): 1.0, (7, 3): 2.0, (9, 7, 3): 4.0, (8, 3): 8.0, (1, 9, 7, 3): 16.0})
    for ids, added in (([9, 7], 7.0), ([7], 3.0), ([8], 9.0), ([7, 9], 1.0), ([9, 8, 7], 3.0)):
        changed = row()
        bias(np.array(ids), changed)
        assert changed.tolist() == [0, 1, 2, 3 + added, 4, 5]


def test_a_bad_word_is_forbidden_where_it_would_be_complete() -> None:
    words = bad_words([[2], [4], [1, 5]], end_ids={4})
    for ids, forbidden in (([1], [2, 5]), ([5], [2])):
        changed = row()
        words(np.array(ids), changed)
        assert np.flatnonzero(changed == -np.inf).tolist() == forbidden


def test_suppressed_tokens_are_forbidden_everywhere_or_at_one_place() -> None:
    for at, n, forbidden in ((None, 3, [0, 5]), (3, 3, [0, 5]), (3, 4, [])):
        changed = row()
        Suppressed([5, 0], at)(np.zeros(n, np.int64), changed)
        assert np.flatnonzero(changed == -np.inf).tolist() == forbidden


def test_infinities_become_the_largest_floats() -> None:
    changed = np.array([-np.inf, 1, np.nan, np.inf], np.float32)
    FiniteScores()(np.zeros(1, np.int64), changed)
    most = np.finfo(np.float32).max
    assert changed.tolist() == [-most, 1, 0, most]
