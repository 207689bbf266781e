"""What `load` is told of how to compute."""

from __future__ import annotations

from typing import Any

import pytest

from halfbyte import RequestError, system
from halfbyte.engine_options import EngineOptions


def test_they_are_what_was_given() -> None:
    assert EngineOptions.of(1, "f16", "bf16") == EngineOptions(1, "f16", "bf16")
    assert EngineOptions.of(None, "f32", "int8").n_threads == system.default_threads().count


@pytest.mark.parametrize(
    "at, value",
    [(0, 0), (0, "2"), (0, True), (1, "f64"), (1, None), (1, []), (2, "fp16"), (2, "BF16"),
     (2, None), (2, ["bf16"]), (2, {}), (2, b"bf16"), (2, 16)],
)  # fmt: skip
def test_others_are_named(at: int, value: Any) -> None:
    given: list[Any] = [1, "f16", "int8"]
    given[at] = value
    with pytest.raises(RequestError) as caught:
        EngineOptions.of(*given)
    assert caught.value.param == ("threads", "kv_type", "arithmetic")[at]
    assert at < 2 or "one of int8, bf16" in str(caught.value)
