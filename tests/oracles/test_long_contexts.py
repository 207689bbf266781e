"""32k tokens and more, against transformers; for each type of cache that has a promise."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import halfbyte

pytestmark = pytest.mark.oracle

ROOT = Path(__file__).resolve().parents[2]
# Of codes, what one seed gave twice over: the cache's own rounding, which does not grow with depth.
TOLERANCE = {"f32": 1e-4, "f16": 2e-3, "int8": 2e-2}


def test_thirty_three_thousand_tokens(
    tmp_path: Path, torch_python: Path, benchmark_module: Callable[[str], ModuleType]
) -> None:
    script, out = ROOT / "benchmarks" / "make_long_golden.py", tmp_path / "long.npz"
    subprocess.run([torch_python, script, "--n-ids", "33000", "--out", out], check=True)
    tiny_llama = benchmark_module("tiny_llama")
    with np.load(out) as data:
        tiny = tiny_llama.Tiny(**json.loads(str(data["spec"])))
        n, positions, expected = int(data["n_ids"]), data["positions"], data["logits"]
    assert positions[-2] == 32_768
    tiny_llama.save(tiny, tmp_path / "hf")
    halfbyte.convert(tmp_path / "hf", tmp_path / "f32.gguf", type="f32", measure=False)
    ids = benchmark_module("long_text").ids_of(tiny.seed, tiny.vocab_size, n).tolist()
    for kv_type, tolerance in TOLERANCE.items():
        with halfbyte.load(tmp_path / "f32.gguf", threads=2, kv_type=kv_type) as model:
            logits = model.logits(ids)[positions]
        distance = np.abs(logits - expected).max() / np.abs(expected).max()
        print(f"{kv_type}: {distance:.2g}")
        assert distance < tolerance, kv_type
        assert (logits.argmax(-1) == expected.argmax(-1)).all() or kv_type == "int8"
