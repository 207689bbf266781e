"""How long a call may take and how soon it is served."""

from __future__ import annotations

import math

import numpy as np
import pytest

from halfbyte.errors import RequestError
from halfbyte.generation.terms import Terms


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, 1e10, 10**400, True, "1", [1]])
def test_odd_numbers_are_refused_by_name(value: object) -> None:
    for name in ("timeout", "priority"):
        with pytest.raises(RequestError) as caught:
            Terms(**{name: value})  # type: ignore[arg-type]
        assert caught.value.param == name


def test_terms_are_split_from_other_options() -> None:
    terms, rest = Terms.split({"timeout": np.float32(2), "top_k": 3, "priority": 0.5})
    assert (terms.timeout, terms.priority, rest) == (2.0, 0.5, {"top_k": 3})
    assert Terms.split({})[0].timeout is None
