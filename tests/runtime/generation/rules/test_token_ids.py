"""Tokens as an array that grows: as a list does, and each for itself."""

from __future__ import annotations

import numpy as np
import pytest

from halfbyte.generation.rules.token_ids import TokenIds


def test_it_is_as_a_list() -> None:
    ids, expected = TokenIds([5, 6, 7]), [5, 6, 7]
    for i in range(500):
        ids.append(i)
        expected.append(i)
        if i % 7 == 3:
            ids.take_back(2)
            del expected[-2:]
        assert ids.array.dtype == np.int64 and ids.array.tolist() == expected
    assert TokenIds([]).array.tolist() == []


def test_a_copy_goes_its_own_way() -> None:
    first = TokenIds([1, 2])
    second = first.copy()
    first.append(3)
    second.append(4)
    second.append(5)
    assert (first.array.tolist(), second.array.tolist()) == ([1, 2, 3], [1, 2, 4, 5])


def test_nobody_writes_to_it() -> None:
    with pytest.raises(ValueError, match="read-only"):
        TokenIds([1, 2]).array[0] = 3
