"""Pooling, whatever the chunks that the states come in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from halfbyte.engine.engine import Span
from halfbyte.errors import EngineError
from halfbyte.generation.hidden_request import HiddenRequest

ROWS = np.random.default_rng(1).standard_normal((7, 3)).astype(np.float32)


class Computed:
    """A sequence, as far as it is computed."""

    n_past = 0


def pooled(pooling: Any, chunks: list[int], rows: np.ndarray = ROWS) -> np.ndarray:
    out = np.zeros((7 if pooling == "none" else 1, 3), np.float32)
    request = HiddenRequest([9] * 7, pooling, out)
    request.sequence = sequence = Computed()  # type: ignore[assignment]
    for n in chunks:
        assert not request.finish_reason
        (span,) = request.spans(n)
        assert isinstance(span, Span) and span.is_hidden and len(span.tokens) == n
        end = sequence.n_past + n
        sequence.n_past = end
        request.take(rows[end - span.n_out : end])
    assert request.finish_reason == "length"
    return out


@pytest.mark.parametrize("chunks", [[7], [1] * 7, [3, 4], [6, 1]])
def test_poolings(chunks: list[int]) -> None:
    total = np.zeros(3)
    for row in ROWS:
        total += row
    assert np.array_equal(pooled("mean", chunks)[0], (total / 7).astype(np.float32))
    assert np.array_equal(pooled("first", chunks)[0], ROWS[0])
    assert np.array_equal(pooled("last", chunks)[0], ROWS[-1])
    assert np.array_equal(pooled("none", chunks), ROWS)


def test_states_that_are_not_finite_are_refused() -> None:
    rows = ROWS.copy()
    rows[4, 1] = np.nan
    with pytest.raises(EngineError, match="states are not finite"):
        pooled("mean", [3, 4], rows)
