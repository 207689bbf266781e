"""Loading where signals come, memory or threads lack, or Numba was told to compile nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import halfbyte
from halfbyte import loading
from halfbyte.engine_options import EngineOptions
from halfbyte.errors import EngineError, RequestError
from halfbyte.families.config import ModelConfig, RopeConfig
from halfbyte.families.registry import family_of
from halfbyte.kernels.layouts.lookup import lookup_kernel
from halfbyte.kernels.layouts.panel_packing import pack_kernel

HERE = Path(__file__).parent


def run(*arguments: str, **environment: str) -> str:
    """What a Python process prints; it must not fail."""
    done = subprocess.run(
        [sys.executable, *arguments], env=os.environ | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("what", ["load", "run"])
def test_real_interrupts_change_no_bits(what: str) -> None:
    assert "all bits as before" in run(str(HERE / "interrupts.py"), what, "8", "3")


def test_threads_that_cannot_start_are_an_error_and_the_others_end(
    tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def workers() -> list[threading.Thread]:
        return [t for t in threading.enumerate() if t.name in ("halfbyte-1", "halfbyte-3")]

    before = workers()

    def limited(thread: threading.Thread) -> None:
        if thread.name == "halfbyte-2":
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", limited)
        with pytest.raises(EngineError, match="only 2 of 4 threads") as caught:
            loading.load(tiny_gguf, threads=4)
    assert "at most 2" in caught.value.hint
    for thread in workers():
        if thread not in before:
            thread.join(30)
    assert workers() == before


LIMITED = """
import resource, sys
import halfbyte
halfbyte.load
with open("/proc/self/statm") as file:
    now = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + int(sys.argv[2]) * 2**20,) * 2)
try:
    with halfbyte.load(sys.argv[1], threads=2) as model:
        print(model.complete("def f", max_tokens=2).finish_reason, model.logits([1, 2, 3]).shape)
except halfbyte.HalfbyteError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits that count are Linux's")
@pytest.mark.parametrize("megabytes", os.environ.get("HALFBYTE_TEST_LIMITS", "18 300").split())
def test_little_memory_is_a_halfbyte_error(megabytes: str) -> None:
    printed = run("-c", LIMITED, "infill-10m", megabytes)
    if int(megabytes) >= 300:
        assert printed.startswith("length (3,")
    else:
        assert "Error" in printed or printed.startswith("length (3,")


def test_numba_that_compiles_nothing_is_named() -> None:
    code = "import halfbyte\ntry: halfbyte.load('infill-10m')\nexcept halfbyte.SettingError as e: "
    assert run("-c", code + "print(e.name)", NUMBA_DISABLE_JIT="1") == "NUMBA_DISABLE_JIT\n"


# What a start needs whose kernels lie in the cache: the first run fills it, if need be.
WARM = """
import sys, halfbyte
with halfbyte.load("infill-10m", threads=2) as model:
    model.complete("def f", max_tokens=2)
print(*sys.modules)
"""
# Each takes a quarter of a millisecond. Import a new one where it is used, not where all start.
MAX_OWN_MODULES = 355


def test_a_warm_start_imports_no_more_than_it_needs() -> None:
    run("-c", WARM)
    names = run("-c", WARM).split()
    others = {"numba", "asyncio", "sqlite3", "subprocess", "difflib", "llvmlite.binding"}
    assert others.isdisjoint(names)
    own = [name for name in names if name.startswith("halfbyte")]
    assert len(own) <= MAX_OWN_MODULES, own


# Cuts a model's file short when a stage reports, and says how that ends: where a file is mapped,
# the process would.
CUT = """
import os, shutil, sys
import halfbyte
from halfbyte.gguf.file import GGUFFile
source, folder = sys.argv[1:]
path, made = os.path.join(folder, "cut.gguf"), os.path.join(folder, "made.gguf")
with GGUFFile.open(source) as file:
    n_header = min(info.offset for info in file.tensors.values())
def fresh(stage):
    shutil.copy(source, path)
    return lambda name, *_: name == stage and os.truncate(path, n_header)
def ended(work):
    try:
        work()
    except halfbyte.ModelFileError as error:
        return f"{type(error).__name__} {path in str(error)} {'cut short' in str(error)}"
print("load", ended(lambda: halfbyte.load(path, threads=2, progress=fresh("load"))))
for stage in ("convert", "measure"):
    cut = fresh(stage)
    print(stage, ended(lambda: halfbyte.convert(path, made, type="q4_0", progress=cut)))
fresh("")
with GGUFFile.open(path) as file:
    os.truncate(path, n_header)
    print("data", ended(lambda: file.data("token_embd.weight")))
fresh("")
with halfbyte.load(path, threads=2) as model:
    before = model.logits([1, 2, 3])
    os.truncate(path, 0)
    same = (model.logits([1, 2, 3]) == before).all()
    print("run", same, path in open("/proc/self/maps").read(), os.listdir(folder))
"""
CUT_SAID = """\
load ModelFileError True True
convert ModelFileError True True
measure ModelFileError True True
data ModelFileError True True
run True False ['cut.gguf']
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="maps are read from /proc")
def test_a_file_that_is_cut_short_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    source = Path(halfbyte.__file__).parent / "data" / "infill-10m.gguf"
    assert run("-c", CUT, str(source), str(tmp_path)) == CUT_SAID


COUNTED = """
import numba  # which asks once by itself
import llvmlite.binding as llvm
calls = []
for name in ("get_host_cpu_name", "get_host_cpu_features"):
    setattr(llvm, name, lambda name=name, f=getattr(llvm, name): (calls.append(name), f())[1])
import halfbyte
for _ in range(2):
    halfbyte.load("infill-10m", threads=1).close()
print(sorted(calls))
"""


def test_the_cpu_is_asked_for_once_at_most() -> None:
    asked = run("-c", COUNTED)  # and remembered: see kernels' host_cpu.py
    assert asked in ("[]\n", "['get_host_cpu_features', 'get_host_cpu_name']\n")


def test_a_draft_model_changes_nothing_but_the_time(infill_model: halfbyte.Model) -> None:
    stages: list[str] = []
    with halfbyte.load(
        "infill-10m", threads=2, draft="infill-10m", progress=lambda stage, *_: stages.append(stage)
    ) as model:
        assert list(dict.fromkeys(stages))[-2:] == ["load", "load draft"]
        assert repr(model).endswith("2 threads, draft 'infill-10m'>")
        assert model.draft is not None and model.draft.share == 1.0
        asked = {"prompt": "def gcd(a, b):\n    ", "max_tokens": 40, "seed": 3}
        for temperature in (0.0, 0.8):
            done = model.complete(**asked, temperature=temperature)
            expected = infill_model.complete(**asked, temperature=temperature, speculate=False)
            assert done.tokens == expected.tokens
        stream = model.stream(**asked)
        next(stream)
    with pytest.raises(EngineError, match="closed"):
        list(stream)


def test_a_draft_model_of_another_vocabulary_is_refused_before_anything_is_read(
    tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object) -> None:
        raise AssertionError("weights are read")

    monkeypatch.setattr(loading, "load_weights", read)
    with pytest.raises(RequestError, match="draft: expected a model with the same vocabulary"):
        halfbyte.load("infill-10m", draft=tiny_gguf)
    with pytest.raises(RequestError, match="is draft here"):
        halfbyte.load("infill-10m", draft_model=tiny_gguf)  # type: ignore[arg-type]
    with pytest.raises(halfbyte.HalfbyteError, match="no such draft"):
        halfbyte.load("infill-10m", draft="no such draft")


def test_a_row_that_a_file_has_as_a_vector_is_a_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    """As llama.cpp writes the embedding of one token alone, and a shared expert's gate."""
    config = ModelConfig("llama", "", 32, 64, 1, 2, 2, 16, 1, 128, 1e-6, RopeConfig(1e4))
    specs = list(family_of(config).tensors(config))
    shapes = {s.name: s.shape[1:] if s.shape == (1, 32) else s.shape for s in specs}
    assert shapes["token_embd.weight"] == shapes["output.weight"] == (32,)
    types = {name: "F16" if len(shape) == 1 else "F32" for name, shape in shapes.items()}
    tensors = {name: SimpleNamespace(name=name, shape=shapes[name], type_name=types[name])
               for name in shapes}  # fmt: skip
    made: list[str] = []

    def compiled(kernels: list[Any], report: object, most: int) -> None:
        made.extend(kernel.name for kernel in kernels)

    monkeypatch.setattr(loading.jit, "compile_all", compiled)
    model: Any = SimpleNamespace(config=config, file=SimpleNamespace(tensors=tensors))
    how = EngineOptions.of(1, "f16", "int8")
    loading._compile([model], how, lambda *progress: None, is_shown=True)
    assert {lookup_kernel("F16").name, pack_kernel("F16").name, pack_kernel("F32").name} < {*made}
