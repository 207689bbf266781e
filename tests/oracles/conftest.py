"""The environments of the oracles and the modules of benchmarks/ that drive them."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def benchmark_module() -> Callable[[str], ModuleType]:
    """Loads a module of benchmarks/ by its name."""

    def load(name: str) -> ModuleType:
        full_name = f"halfbyte_benchmarks_{name}"
        if full_name not in sys.modules:
            spec = importlib.util.spec_from_file_location(
                full_name, ROOT / "benchmarks" / f"{name}.py"
            )
            assert spec is not None and spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[full_name] = module  # dataclasses look their module up
            spec.loader.exec_module(module)
        return sys.modules[full_name]

    return load


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
