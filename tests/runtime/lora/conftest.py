"""A small adapter and its model's shape, for all tests of readers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from saved_adapter import Saved

from halfbyte.families.from_hf import config_from_hf


@pytest.fixture
def saved(tmp_path: Path, benchmark_module: Callable[[str], ModuleType]) -> Saved:
    """An adapter of rank 3 of a tiny Llama."""
    llama, adapters = benchmark_module("tiny_llama"), benchmark_module("tiny_adapter")
    tiny = llama.Tiny("tiny", 7, 64, 96, 2, 4, 2, 16, 300, 1e4, tied=False)
    one = adapters.TinyAdapter(1, 3, 6)
    config = config_from_hf(tmp_path, llama.config(tiny))
    tensors = adapters.tensors(one, llama.weights(tiny))
    return Saved(tmp_path / "lora", config, adapters.config(one), tensors)
