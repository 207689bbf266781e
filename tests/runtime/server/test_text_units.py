"""Places as clients count them, against Python's own codecs."""

from __future__ import annotations

import pytest

from halfbyte.server.fault import Fault
from halfbyte.server.text_units import Unit, n_chars, n_units

TEXT = "a\u00e9\u20ac\U0001f600b"


@pytest.mark.parametrize(
    ("unit", "widths"),
    [("utf-8", [1, 2, 3, 4, 1]), ("utf-16", [1, 1, 1, 2, 1]), ("utf-32", [1] * 5)],
)
def test_each_character_has_its_width(unit: Unit, widths: list[int]) -> None:
    begins = [sum(widths[:i]) for i in range(6)]
    for i, begin in enumerate(begins):
        assert n_units(TEXT, i, unit) == begin and n_chars(TEXT, begin, unit, "at") == i
    for between in set(range(begins[-1])) - set(begins):
        with pytest.raises(Fault) as caught:
            n_chars(TEXT, between, unit, "at")
        assert caught.value.param == "at"
    with pytest.raises(Fault):
        n_chars(TEXT, begins[-1] + 1, unit, "at")
