"""How far a draft model is believed."""

from __future__ import annotations

import pytest

from halfbyte.generation.speculation.sureness import Sureness


def test_at_first_it_is_believed() -> None:
    sureness = Sureness()
    assert sureness.chance(0.97) == pytest.approx(0.95)
    assert sureness.chance(0.02) == pytest.approx(0.05)
    assert sureness.chance(1.0) == sureness.chance(0.9)


def test_then_what_came_true_counts_for_this_request_and_less_for_others() -> None:
    others = Sureness()
    own = Sureness(others)
    for i in range(200):
        own.learn(0.95, i % 2 == 0)
    assert own.chance(0.95) == pytest.approx(0.5, abs=0.1)
    assert own.mean == pytest.approx(0.5, abs=0.1)
    assert own.chance(0.85) == pytest.approx(0.85)  # nothing is known of these
    own, other = Sureness(others), Sureness(others)
    before = other.chance(0.95)
    own.learn(0.95, False)
    assert other.chance(0.95) == before
    assert own.chance(0.95) < others.chance(0.95) < before
