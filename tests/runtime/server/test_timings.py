"""What an answer took, under llama.cpp's names."""

from __future__ import annotations

from halfbyte.generation.completion import Stats
from halfbyte.server.timings import timings


def test_rates_are_of_what_was_computed() -> None:
    stats = Stats(10, 0.5, 3, 0.25, n_reused=5, n_drafted=4, n_accepted=2)
    assert timings(stats, 4) == {
        "cache_n": 5, "prompt_n": 5, "prompt_ms": 500.0, "prompt_per_token_ms": 100.0,
        "prompt_per_second": 10.0, "predicted_n": 4, "predicted_ms": 250.0,
        "predicted_per_token_ms": 62.5, "predicted_per_second": 16.0, "draft_n": 4,
        "draft_n_accepted": 2,
    }  # fmt: skip


def test_nothing_took_no_time() -> None:
    assert set(timings(Stats(0, 0.0, 0, 0.0), 0).values()) == {0}
