"""What a model has said lately."""

from __future__ import annotations

import pytest

from halfbyte.generation.speculation import pool as module
from halfbyte.generation.speculation.pool import Pool


def found(pool: Pool, ids: list[int]) -> list[int]:
    """What followed them, from the newer half if it can."""
    for text in pool.texts:
        place, _ = text.find(ids)
        if place >= 0:
            return text.after(place, 2)
    return []


def test_answers_are_found_each_by_itself() -> None:
    pool = Pool()
    pool.add([1, 2, 3, 4, 5])
    pool.add([6, 7, 8, 9])
    assert found(pool, [0, 1, 2, 3]) == [4, 5]
    assert found(pool, [6, 7, 8]) == [9]
    assert found(pool, [3, 4, 5]) == []  # the next answer does not follow
    pool.add([1, 2, 3, 8])
    assert found(pool, [1, 2, 3]) == [8]


def test_it_is_bounded_and_forgets_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "N_IDS", 100)
    pool = Pool()
    for i in range(100):
        pool.add(list(range(20 * i, 20 * i + 20)))
        assert all(len(text.ids) <= 100 for text in pool.texts)
        assert found(pool, [20 * i + 3, 20 * i + 4, 20 * i + 5]) == [20 * i + 6, 20 * i + 7]
    assert found(pool, [20 * 96, 20 * 96 + 1, 20 * 96 + 2]) and not found(pool, [3, 4, 5])
    pool.add(list(range(5000, 6000)))
    assert found(pool, [5996, 5997, 5998]) == [5999] and not found(pool, [5001, 5002, 5003])
