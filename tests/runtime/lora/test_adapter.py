"""Adapters beside peft's own answers, and what tells one from another."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import halfbyte

DATA = Path(__file__).parents[2] / "data" / "golden_adapters.npz"
CASES = ("llama", "patterns", "rslora", "qwen2", "qwen3")


@pytest.mark.parametrize("name", CASES)
def test_peft_agrees(
    name: str, tmp_path: Path, benchmark_module: Callable[[str], ModuleType]
) -> None:
    """Within float32's rounding, from an F32 file with an f32 cache; merged, too."""
    llama, adapters = benchmark_module("tiny_llama"), benchmark_module("tiny_adapter")
    with np.load(DATA) as golden:
        tiny, adapter = json.loads(str(golden[f"{name}.spec"]))
        ids = golden[f"{name}.ids"].tolist()
        wanted, plain = golden[f"{name}.logits"], golden[f"{name}.plain"]
    made = llama.Tiny(**tiny)
    llama.save(made, tmp_path / "hf")
    folder = adapters.save(
        adapters.TinyAdapter(**{k: tuple(v) if k == "modules" else v for k, v in adapter.items()}),
        llama.weights(made), tmp_path / "lora",
    )  # fmt: skip
    base, merged = tmp_path / "base.gguf", tmp_path / "merged.gguf"
    halfbyte.convert(tmp_path / "hf", base, type="f32", measure=False)
    halfbyte.convert(tmp_path / "hf", merged, type="f32", measure=False, adapter=folder)
    with halfbyte.load(base, kv_type="f32", threads=2) as model:
        assert model.load_adapter(folder) == "lora"
        got, n = model.logits(ids, adapter="lora"), len(wanted)
        assert np.abs(got[-n:] - wanted).max() < 1e-4
        assert np.abs(model.logits(ids)[-n:] - plain).max() < 1e-4
        assert np.abs(plain - wanted).max() > 0.1
    with halfbyte.load(merged, kv_type="f32", threads=2) as model:
        assert np.abs(model.logits(ids)[-n:] - wanted).max() < 1e-4
