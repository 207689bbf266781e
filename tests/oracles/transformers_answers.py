"""Random checkpoints and what transformers and torch say to them in float32."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import halfbyte

ROOT = Path(__file__).resolve().parents[2]
TOLERANCE = {"f32": 1e-4, "f16": 2e-3}


def make_checkpoints(
    specs: Sequence[Mapping[str, Any]], out: Path, python: Path, tiny_llama: ModuleType
) -> Path:
    """A folder with a checkpoint and its expected.npz for each of benchmarks/tiny_llama.py's.

    Args:
        specs: fields of Tiny, and what benchmarks/transformers_peer.py takes besides.
        out: the folder.
        python: the interpreter that has torch.
        tiny_llama: the module.
    """
    (out / "specs.json").write_text(json.dumps(specs))
    script = ROOT / "benchmarks" / "transformers_peer.py"
    subprocess.run([python, script, out / "specs.json", out], check=True)
    for spec in specs:
        tiny_llama.save_tokenizer(spec["vocab_size"], out / spec["name"])
    return out


def check_answers(folder: Path, share: float = 0.9) -> None:
    """A converted checkpoint's logits are near transformers', and its greedy ids are the same.

    Of a model with experts so large a share of the rows is looked at, where the cache is rounded.
    """
    path = folder.with_suffix(".gguf")
    halfbyte.convert(folder, path, type="f32", measure=False)
    with np.load(folder / "expected.npz") as answers:
        ids, expected, greedy = answers["ids"].tolist(), answers["logits"], answers["greedy"]
    for kv_type, tolerance in TOLERANCE.items():
        with halfbyte.load(path, threads=2, kv_type=kv_type) as model:
            logits = model.logits(ids)
            tokens = model.complete(ids, max_tokens=len(greedy)).tokens
        assert logits.shape == expected.shape
        rows = np.abs(logits - expected).max(-1) / np.abs(expected).max()
        # Rounding may choose another of two experts that are nearly equal: rows of their own.
        distance = np.quantile(rows, share if model.config.experts and kv_type == "f16" else 1)
        print(f"{folder.name} {kv_type}: {distance:.2g}")
        assert distance < tolerance, kv_type
        if kv_type == "f32":
            # A model may end by itself; transformers was told not to stop.
            assert tokens == greedy[: len(tokens)].tolist()
            assert len(tokens) == len(greedy) or 2 in greedy
