"""Durations as Go writes them, and seconds."""

from __future__ import annotations

import pytest

from halfbyte.server.fault import Fault
from halfbyte.server.ollama.keep_alive import idle_seconds


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("5m", 300), ("1h30m", 5400), ("1.5h", 5400), ("250ms", 0.25), (".5s", 0.5), ("0", 0),
        ("0s", 0), ("30", 30), (30, 30), (2.5, 2.5), (0, 0), (-1, None), ("-1", None),
        ("-1m", None), ("-0.5s", None), ("2us", 2e-6), ("2µs", 2e-6), ("+1s", 1),
    ],
)  # fmt: skip
def test_seconds_without_a_request(given: float | str, expected: float | None) -> None:
    assert idle_seconds(given) == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    "given", ["", "m", "5 m", "1d", "1m!", "1e9s", "٣s", "s" * 99, "nan", float("inf"), 1e999]
)
def test_what_is_no_duration(given: float | str) -> None:
    with pytest.raises(Fault, match="keep_alive: expected seconds") as caught:
        idle_seconds(given)
    assert caught.value.param == "keep_alive"
