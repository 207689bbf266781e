"""Fixtures that several test folders share."""

from __future__ import annotations

import importlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parent.parent


def pytest_configure() -> None:
    """Hear Ctrl-C, and let child processes hear it, where the runner was started ignoring it.

    And no example may fail for having taken long: the machine may be busy, or compile.
    """
    hypothesis.settings.register_profile("any-time", deadline=None)
    hypothesis.settings.load_profile("any-time")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of data that lies outside the repository; skips, visibly, where it is absent."""
    path = Path(os.environ.get("HALFBYTE_SHARED", ROOT.parent / "shared"))
    if not (path / "data").is_dir():
        pytest.skip(f"no shared data in {path} (HALFBYTE_SHARED names another folder)")
    return path


@pytest.fixture(scope="session")
def kernel_cache() -> Path:
    """Where models that are loaded keep compiled kernels: each is compiled once for all tests."""
    from halfbyte import settings

    return settings.cache_dir() / "kernels"


@pytest.fixture(scope="session")
def benchmark_module() -> Callable[[str], ModuleType]:
    """Loads a module of benchmarks/, which no installed package holds."""
    return lambda name: importlib.import_module(f"benchmarks.{name}")


@pytest.fixture
def load(
    benchmark_module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Any]:
    """Loads a benchmark, which imports its neighbours."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return benchmark_module


@pytest.fixture(scope="session")
def tiny_folder(
    tmp_path_factory: pytest.TempPathFactory, benchmark_module: Callable[[str], ModuleType]
) -> Path:
    """A small random Llama checkpoint as a Hugging Face folder: 2 layers, 4 heads on 2."""
    tiny = benchmark_module("tiny_llama")
    path = tmp_path_factory.mktemp("tiny") / "hf"
    shape = {"dim": 64, "hidden_dim": 96, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2}
    tiny.save(
        tiny.Tiny("tiny", 7, **shape, head_dim=16, vocab_size=300, rope_theta=1e4, tied=False), path
    )
    return path


@pytest.fixture(scope="session")
def tiny_gguf(tiny_folder: Path) -> Path:
    """The same model converted to Q8_0."""
    from halfbyte.conversion import convert

    path = tiny_folder.with_name("tiny-q8_0.gguf")
    convert(tiny_folder, path, type="q8_0", measure=False)
    return path


@pytest.fixture(scope="session")
def split() -> Callable[..., list[Path]]:
    """Writes a GGUF file anew in several, with the `gguf` package: split(path, folder, 5)."""
    import gguf

    from tests.gguf_copies import copy_keys
    from tests.gguf_copies import write as finish

    def write(whole: Path, folder: Path, n_tensors: int, **options: bool) -> list[Path]:
        reader = gguf.GGUFReader(whole)
        writer = gguf.GGUFWriter(
            folder / whole.name, "llama", split_max_tensors=n_tensors, **options
        )
        copy_keys(reader, writer)
        for tensor in reader.tensors:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
        finish(writer)
        return sorted(folder.glob(f"{whole.stem}-*-of-*.gguf"))

    return write
