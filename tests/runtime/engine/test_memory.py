"""Memory that is not there: errors that say for what, and of how many bytes."""

from __future__ import annotations

import numpy as np
import pytest

from halfbyte.engine import memory
from halfbyte.errors import EngineError


def test_arrays_are_numpys() -> None:
    assert (memory.zeros("x", (2, 3), np.int64) == np.zeros((2, 3), np.int64)).all()
    assert memory.empty("x", 5, np.float32).shape == (5,)


@pytest.mark.parametrize("make", [memory.zeros, memory.empty])
@pytest.mark.parametrize("shape", [1 << 60, (1 << 40, 1 << 40)])
def test_what_does_not_fit_is_named_with_its_bytes(make: object, shape: object) -> None:
    with pytest.raises(EngineError, match=r"out of memory: [\d,]{20,} bytes for logits") as caught:
        make("logits", shape, np.float32)
    assert caught.value.hint


LIBRARY = ImportError("libgomp.so.1: failed to map segment from shared object")


@pytest.mark.parametrize("shortage", [MemoryError(), LIBRARY])
def test_small_things_are_named_by_the_work(shortage: Exception) -> None:
    with (
        pytest.raises(EngineError, match="out of memory while thinking"),
        memory.needed_for("thinking"),
    ):
        raise shortage


def test_other_errors_stay() -> None:
    with pytest.raises(ImportError), memory.needed_for("thinking"):
        raise ImportError("no module named x")
