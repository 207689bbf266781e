"""Checks of a caller's values; test_sampler.py has what SamplingParams refuses by them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from halfbyte.errors import RequestError
from halfbyte.generation.checked_values import ids, real, strings, whole


@pytest.mark.parametrize(
    ("check", "value", "want"),
    [
        (lambda x: whole("n", x), np.int8(3), 3), (lambda x: whole("n", x, low=2), 2, 2),
        (lambda x: whole("n", x, low=2), 1, None), (lambda x: whole("n", x), True, None),
        (lambda x: real("n", x, 0, 1), 1, 1.0), (lambda x: real("n", x, 0, 1), 1.01, None),
        (lambda x: real("n", x, 0, math.inf), 10**400, None),
        (lambda x: real("n", x, 0, 1), math.nan, None),
        (lambda x: strings("n", x), "ab", ("ab",)), (lambda x: strings("n", x), {"a"}, ("a",)),
        (lambda x: strings("n", x), ["a", ""], None), (lambda x: strings("n", x), None, None),
        (lambda x: ids("n", x), np.array([1, 2]), (1, 2)), (lambda x: ids("n", x), (1, 2), (1, 2)),
        (lambda x: ids("n", x), [-1], None), (lambda x: ids("n", x), "12", None),
    ],
)  # fmt: skip
def test_values(check: Callable[[Any], Any], value: Any, want: Any) -> None:
    if want is None:
        with pytest.raises(RequestError) as caught:
            check(value)
        assert caught.value.param == "n"
        return
    found = check(value)
    assert found == want and type(found) is type(want)
