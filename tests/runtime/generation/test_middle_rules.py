"""What may be asked of a middle."""

from __future__ import annotations

from typing import Any

import pytest

from halfbyte.errors import RequestError
from halfbyte.generation.middle_rules import MiddleRules


def test_they_are_split_off() -> None:
    rules, rest = MiddleRules.split({"min_confidence": 1, "top_k": 3, "single_line": True})
    assert rules == MiddleRules(min_confidence=1.0, single_line=True) and rest == {"top_k": 3}
    assert rules.make_confidence() is not None and MiddleRules().make_confidence() is None
    assert MiddleRules(confidence=True).make_confidence() is not None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("min_confidence", value) for value in (-0.1, 1.1, float("nan"), True, "0.5", 10**400)),
        *(("confidence", 1), ("trim_suffix", None), ("single_line", "no")),
    ],
)
def test_bad_values_name_the_argument(name: str, value: Any) -> None:
    options: dict[str, Any] = {name: value}
    with pytest.raises(RequestError) as caught:
        MiddleRules(**options)
    assert caught.value.param == name
