"""Far into a long text, against what transformers said there (benchmarks/make_long_golden.py)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np

import halfbyte

GOLDEN = Path(__file__).resolve().parents[1] / "data" / "golden_long.npz"


def test_sixteen_thousand_tokens(
    tmp_path: Path, benchmark_module: Callable[[str], ModuleType]
) -> None:
    tiny_llama = benchmark_module("tiny_llama")
    with np.load(GOLDEN) as data:
        tiny = tiny_llama.Tiny(**json.loads(str(data["spec"])))
        n, positions, expected = int(data["n_ids"]), data["positions"], data["logits"]
    assert positions[-1] == n - 1 > 16_384
    tiny_llama.save(tiny, tmp_path / "hf")
    halfbyte.convert(tmp_path / "hf", tmp_path / "f32.gguf", type="f32", measure=False)
    ids = benchmark_module("long_text").ids_of(tiny.seed, tiny.vocab_size, n).tolist()
    with halfbyte.load(tmp_path / "f32.gguf", threads=2) as model:
        logits = model.logits(ids)[positions]
    distances = np.abs(logits - expected).max(-1) / np.abs(expected).max()
    assert distances.max() < 2e-3, dict(zip(positions.tolist(), distances, strict=True))
    assert (logits.argmax(-1) == expected.argmax(-1)).all()
