"""States of a request's latest positions."""

from __future__ import annotations

import numpy as np

from halfbyte.generation.speculation.trail import Trail


def states(*positions: int) -> np.ndarray:
    return np.array([[p, -p] for p in positions], np.float32)


def test_the_latest_count_and_what_is_missing_is_zero() -> None:
    trail = Trail(2)
    trail.put(5, states(5, 6, 7))
    trail.put(8, states(8))
    assert (trail.begin, trail.end, len(trail)) == (5, 9, 4)
    assert (trail.rows(6, 9) == states(6, 7, 8)).all()
    assert (trail.rows(3, 6) == states(0, 0, 5)).all()
    trail.put(7, states(70, 80))  # others were guessed there
    assert (trail.rows(5, 9) == states(5, 6, 70, 80)).all()
    trail.put(20, states(20))  # some in between were never computed
    assert (trail.begin, trail.end) == (20, 21)
    trail.put(2, states(2))
    assert (trail.begin, trail.end) == (2, 3)


def test_what_is_behind_may_be_forgotten() -> None:
    trail = Trail(2)
    trail.put(0, states(0, 1, 2, 3))
    trail.put(4, states(4, 5))
    trail.forget(3)
    assert (trail.begin, trail.end) == (3, 6)
    assert (trail.rows(2, 6) == states(0, 3, 4, 5)).all()
    trail.forget(4)
    trail.forget(9)
    assert len(trail) == 0
