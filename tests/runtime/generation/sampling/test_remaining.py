"""Remaining: tokens that are left."""

from __future__ import annotations

import numpy as np
import pytest

from halfbyte.generation.sampling.remaining import Remaining


def test_indices_and_ids() -> None:
    every = Remaining(np.log(np.array([1, 2, 3, 4], np.float32)))
    assert every.probs == pytest.approx([0.1, 0.2, 0.3, 0.4])
    some = every.kept(np.array([1, 3]))
    assert some.probs == pytest.approx([1 / 3, 2 / 3])
    assert [some.token(i) for i in range(len(some))] == [1, 3]
    one = some.kept(np.array([1]))
    assert (one.token(0), len(one), one.probs.tolist()) == (3, 1, [1.0])
    assert some.kept(None) is some and some.kept(np.array([0, 1])) is some


def test_finding_tokens() -> None:
    some = Remaining(np.zeros(4, np.float32)).kept(np.array([1, 3]))
    at, is_left = some.find(np.array([3, 0, 2, 1, 9]))
    assert (at.tolist(), is_left.tolist()) == ([1, 0], [True, False, False, True, False])
