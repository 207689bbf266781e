"""What callers write for adapters, as paths and scales."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from halfbyte.errors import RequestError
from halfbyte.lora.paths import adapter_paths


@pytest.mark.parametrize(
    ("adapter", "found"),
    [
        (None, []),
        ("a", [("a", 1.0)]),
        (Path("a"), [("a", 1.0)]),
        (("a", 3), [("a", 3.0)]),
        (["a", ("b", 0.5), Path("c")], [("a", 1.0), ("b", 0.5), ("c", 1.0)]),
        (("a", "b"), [("a", 1.0), ("b", 1.0)]),
        ((p for p in "ab"), [("a", 1.0), ("b", 1.0)]),
    ],
)
def test_what_is_meant(adapter: Any, found: list[tuple[str, float]]) -> None:
    assert adapter_paths(adapter) == found


@pytest.mark.parametrize("adapter", [3, b"a", "", ["a", 3], [("a", None)], [None], "a\0b"])
def test_what_is_no_path(adapter: Any) -> None:
    with pytest.raises(RequestError, match=r"^adapter: expected a path"):
        adapter_paths(adapter)


@pytest.mark.parametrize("scale", [float("nan"), float("-inf"), 1e7, 10**400])
def test_what_is_no_scale(scale: Any) -> None:
    for adapter in (("a", scale), ["b", ("a", scale)]):
        with pytest.raises(RequestError, match=r"^adapter: expected a scale"):
            adapter_paths(adapter)
