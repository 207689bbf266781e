"""Fixtures of the kernels' tests.

`HALFBYTE_ISA=avx2 pytest tests/kernels` runs the whole folder as a lesser CPU would. Compiled
kernels are kept, so only the first run of each ISA compiles.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from halfbyte.kernels.compiler import jit, target
from halfbyte.kernels.compiler.jit import Kernel
from halfbyte.kernels.pool import Pool


def pytest_configure(config: pytest.Config) -> None:
    """Choose the ISA before anything is compiled."""
    if name := os.environ.get("HALFBYTE_ISA"):
        target.force(name)


@pytest.fixture(autouse=True)
def _keep_kernels(kernel_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use that root in each test; a test may set another, which ends with it."""
    monkeypatch.setattr(jit, "_directory", None)
    jit.set_cache_root(kernel_cache)


@pytest.fixture(scope="session")
def naive() -> ModuleType:
    """The slow twins (naive.py)."""
    return _load("naive")


@pytest.fixture(scope="session")
def codes_twin() -> ModuleType:
    """The slow twin of attention over codes (codes_twin.py)."""
    return _load("codes_twin")


@pytest.fixture(scope="session")
def blocks() -> ModuleType:
    """Blocks taken apart (blocks.py)."""
    return _load("blocks")


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        f"halfbyte_tests_{name}", Path(__file__).with_name(f"{name}.py")
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session", params=[1, 2], ids=["1-thread", "2-threads"])
def pool(request: pytest.FixtureRequest) -> Iterator[Pool]:
    """A pool of one thread, then of two."""
    made = Pool(request.param)
    yield made
    made.close()


@pytest.fixture(scope="session")
def pool2() -> Iterator[Pool]:
    """A pool of two threads, for tests that are not about threads."""
    made = Pool(2)
    yield made
    made.close()


@pytest.fixture(scope="session")
def as_kernel() -> Callable[[Callable[..., None]], Kernel]:
    """Make a kernel of a test's own function; its name tells versions of it apart."""
    made: dict[Callable[..., None], Kernel] = {}

    def make(function: Callable[..., None]) -> Kernel:
        if function not in made:
            cells = [cell.cell_contents for cell in function.__closure__ or ()]
            constants = [getattr(value, "__qualname__", value) for value in cells]
            text = f"{inspect.getsource(function)}{constants}"
            name = f"{function.__name__}_{hashlib.sha256(text.encode()).hexdigest()[:12]}"
            made[function] = Kernel(function, name)
        return made[function]

    return make


@pytest.fixture(scope="session")
def call(as_kernel: Callable[[Callable[..., None]], Kernel]) -> Callable[..., None]:
    """call(kernel or function, *args): run it compiled; arrays stand for their addresses."""

    def run(function: Kernel | Callable[..., None], *args: Any) -> None:
        item = function if isinstance(function, Kernel) else as_kernel(function)
        assert len(args) == item._n_args
        assert all(a.flags.c_contiguous for a in args if isinstance(a, np.ndarray))
        numbers = [a.ctypes.data if isinstance(a, np.ndarray) else int(a) for a in args]
        item.call(*numbers)

    return run


@pytest.fixture
def run_python(kernel_cache: Path, tmp_path: Path) -> Callable[..., str]:
    """run_python(source, *args): what a new process prints; it must succeed within 5 minutes.

    HALFBYTE_ISA does not reach it: the script forces what it wants.
    """
    env = {k: v for k, v in os.environ.items() if k != "HALFBYTE_ISA"}

    def run(source: str, *args: object) -> str:
        command = [sys.executable, "-W", "error", "-c", source, *map(str, args)]
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=300, env=env, cwd=tmp_path
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    return run
