"""The cache of compiled kernels: what hits, what must not, and what damage does."""

from __future__ import annotations

import compileall
import hashlib
import importlib.util
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from halfbyte.kernels.compiler import code_files, host_cpu, jit, machine_code, target
from halfbyte.kernels.compiler.jit import Kernel
from halfbyte.kernels.vectors.scalars import put_i32
from tests.kernels.checked import CHECKED

RunPython = Callable[..., str]


def _fresh(name: str = "test_answer") -> Kernel:
    """A kernel as a new process would have it."""

    def answer(out):
        put_i32(out, np.int32(42))

    return Kernel(answer, name)


def _answer(kernel: Kernel) -> int:
    out = np.zeros(1, np.int32)
    kernel.call(out.ctypes.data)
    return int(out[0])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A cache folder that holds the compiled kernel."""
    path = jit.set_cache_root(tmp_path / "cache")
    assert not _fresh().compile()
    return path


def test_the_second_compilation_is_a_cache_hit(folder: Path) -> None:
    kernel = _fresh()
    assert kernel.compile() and kernel.compile()
    assert _answer(kernel) == 42
    assert sorted(p.suffix for p in folder.iterdir()) == [".kernel"]


@jit.device
def _twice(x):
    return x + x


def test_machine_code_asks_nothing_of_numba_or_python(tmp_path: Path) -> None:
    folder = jit.set_cache_root(tmp_path / "cache")

    def answer(out):
        put_i32(out, _twice(np.int32(21)))

    assert _answer(Kernel(answer, "test_helped")) == 42
    (path,) = folder.iterdir()
    raw = path.read_bytes()
    assert b"halfbyte_test_helped" in raw
    assert not any(word in raw for word in (b"numba", b"NRT_", b"Py", b"_ZN"))


def test_compile_all_counts_and_reports_what_lacked(folder: Path) -> None:
    seen: list[tuple[int, int]] = []
    kernels = [_fresh(), _fresh("test_other"), _fresh()]
    assert jit.compile_all(kernels, lambda done, total: seen.append((done, total))) == 1
    assert seen == [(0, 1), (1, 1)]
    assert jit.compile_all(kernels, lambda done, total: seen.append((done, total))) == 0
    assert len(seen) == 2


def _other_header(raw: bytes, old: bytes, new: bytes) -> bytes:
    """A whole file, whose hash is right, with another word in its header."""
    content = raw.partition(b"\n")[2]
    assert old in content.partition(b"\n")[0]
    content = content.replace(old, new, 1)
    return hashlib.sha256(content).hexdigest().encode() + b"\n" + content


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: b"",
        lambda raw: raw[: len(raw) // 2],
        lambda raw: raw[:-1],
        lambda raw: raw + b"\0",
        lambda raw: b"\xff" * len(raw),
        lambda raw: b"no line of JSON",
        lambda raw: b"[]\n" + raw,
        lambda raw: _other_header(raw, b"test_answer", b"test_others"),
        lambda raw: _other_header(raw, f"{target.current().name}-".encode(), b"isa-"),
        lambda raw: _other_header(raw, b'"entry"', b'"entrance"'),
        lambda raw: _other_header(raw, b"{", b"["),
    ],
    ids=["empty", "half", "a byte short", "a byte more", "ones", "text", "list", "another's",
         "another CPU's", "no entry", "no JSON"],
)  # fmt: skip
def test_damaged_files_are_compiled_again_with_a_warning(
    folder: Path, damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    (path,) = folder.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    with caplog.at_level(logging.WARNING, logger="halfbyte"):
        kernel = _fresh()
        assert not kernel.compile()
    assert _answer(kernel) == 42
    assert any("test_answer" in r.getMessage() for r in caplog.records)
    assert _fresh().compile(), "the damage is still there"


def test_a_bit_that_changed_anywhere_is_noticed(folder: Path) -> None:
    (path,) = folder.iterdir()
    raw = path.read_bytes()
    rng = np.random.default_rng(3)
    header = raw.index(b"\n", raw.index(b"\n") + 1)
    for at in [*range(header + 40), *rng.integers(0, len(raw), 200)]:
        damaged = bytearray(raw)
        damaged[at] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        with pytest.raises(code_files.CodeFileError):
            code_files.read(folder, "test_answer")
    for length in rng.integers(0, len(raw), 50):
        path.write_bytes(raw[:length])
        with pytest.raises(code_files.CodeFileError):
            code_files.read(folder, "test_answer")


@pytest.fixture
def new_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made during the test."""
    path = tmp_path / "temporary"
    path.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(path))
    return path


def _assert_fell_back(folder: Path, root: Path, temporary: Path, log: list[str]) -> None:
    assert folder.parent == temporary
    assert len(log) == 1 and str(root) in log[0] and str(folder) in log[0]
    assert not _fresh().compile()
    assert any(folder.iterdir())


def test_an_unwritable_root_gives_a_temporary_folder_and_a_warning(
    tmp_path: Path, new_temporary: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    root = tmp_path / "file" / "below"
    folder = jit.set_cache_root(root)
    _assert_fell_back(folder, root, new_temporary, [r.getMessage() for r in caplog.records])


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="no POSIX permissions here")
@pytest.mark.parametrize("mode", [0o777, 0o720, 0o702])
def test_a_folder_that_others_can_write_is_refused(
    tmp_path: Path, new_temporary: Path, caplog: pytest.LogCaptureFixture, mode: int
) -> None:
    root = tmp_path / "cache"
    folder = jit.set_cache_root(root)
    assert folder.stat().st_mode & 0o777 == 0o700
    _fresh().compile()
    caplog.clear()
    folder.chmod(mode)
    other = jit.set_cache_root(root)
    _assert_fell_back(other, root, new_temporary, [r.getMessage() for r in caplog.records])


def test_without_a_root_there_is_a_temporary_folder(
    new_temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jit, "_directory", None)
    assert jit.cache_directory().parent == new_temporary
    assert jit.cache_directory() == jit.cache_directory()


# Prints whether the folder is there after a child of the process has ended, and its name.
FORKED = """
import os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from halfbyte.kernels.compiler import jit

folder = jit.cache_directory()
if (pid := os.fork()) == 0:
    sys.exit()
os.waitpid(pid, 0)
print(folder.is_dir(), folder)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_temporary_folder_goes_with_the_process_that_made_it(run_python: RunPython) -> None:
    is_there, folder = run_python(FORKED).split()
    assert is_there == "True" and not Path(folder).exists()


def test_a_folder_lost_later_costs_the_cache_and_not_the_kernel(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = jit.set_cache_root(tmp_path / "cache")
    folder.rmdir()
    folder.touch()
    kernel = _fresh()
    assert not kernel.compile() and _answer(kernel) == 42
    assert any(f"{folder}: cannot keep" in r.getMessage() for r in caplog.records)


# --- the cache's name -------------------------------------------------------------------------


@pytest.fixture
def copied(tmp_path: Path) -> Iterator[ModuleType]:
    """A copy of the kernels' package, as `copied_kernels`; its jit module."""
    source = Path(jit.__file__).parent.parent
    package = tmp_path / "copied_kernels"
    shutil.copytree(source, package, ignore=shutil.ignore_patterns("__pycache__"))
    spec = importlib.util.spec_from_file_location(
        "copied_kernels", package / "__init__.py", submodule_search_locations=[str(package)]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["copied_kernels"] = module
    spec.loader.exec_module(module)
    yield importlib.import_module("copied_kernels.compiler.jit")
    for name in [n for n in sys.modules if n.startswith("copied_kernels")]:
        del sys.modules[name]


def test_the_key_names_the_isa_and_changes_with_any_source(copied: ModuleType) -> None:
    package = Path(copied.__file__ or "").parent.parent
    key = copied.cache_key()
    assert key == jit.cache_key() and key.startswith(f"{target.current().name}-")
    sources = sorted(package.rglob("*.py"))
    assert {p.parent.name for p in sources} > {"vectors", "compiler", "stages", package.name}
    keys = {key}

    def begin_anew() -> None:
        assert copied.cache_key() in keys  # what a process has imported stays what it was
        copied.__dict__["SOURCES"] = copied._hash_of_sources()
        keys.add(copied.cache_key())

    for path in sources:
        path.write_bytes(path.read_bytes() + b"\n")
        begin_anew()
    (package / "vectors" / "simd.py").rename(package / "simd.py")
    begin_anew()
    (package / "formats" / "extra.py").touch()
    begin_anew()
    assert len(keys) == len(sources) + 3


def _bundled(folder: Path, form: str) -> Path:
    """A package `bundled` of jit.py alone, without sources; what to import it from."""
    sources = folder / "bundled" / "compiler"
    sources.mkdir(parents=True)
    shutil.copy(jit.__file__, sources)
    for place in (sources, sources.parent):
        (place / "__init__.py").touch()
    if form == "zip":
        return Path(shutil.make_archive(str(folder / "archive"), "zip", folder, "bundled"))
    assert compileall.compile_dir(folder, quiet=1, legacy=True)
    for path in folder.rglob("*.py"):
        path.unlink()
    return folder


@pytest.mark.parametrize("form", ["bytecode", "zip"])
def test_the_key_of_a_package_without_sources_changes_with_what_it_is_made_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    found, given = set(), Path(jit.__file__).read_text()
    for version in range(2):
        changed = tmp_path / f"jit{version}" / "jit.py"
        changed.parent.mkdir()
        changed.write_text(f"{given}\n_VERSION = {version}\n")
        with monkeypatch.context() as patch:
            patch.setattr(jit, "__file__", str(changed))
            patch.syspath_prepend(_bundled(tmp_path / f"{form}{version}", form))
            module = importlib.import_module("bundled.compiler.jit")
            assert module._VERSION == version
            found.add(module.SOURCES)
        for name in [n for n in sys.modules if n.startswith("bundled")]:
            del sys.modules[name]
    assert len(found) == 2


def test_a_package_that_cannot_be_told_from_another_version_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jit, "_SOURCES", tmp_path)
    with pytest.raises(ImportError, match="as files"):
        jit._hash_of_sources()


@pytest.mark.parametrize("name", ["numba", "llvmlite", "target_cpu", "target_features"])
def test_the_key_changes_with_compiler_and_cpu(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    key = jit.cache_key()
    version_of = host_cpu.version_of
    if not hasattr(target, name):
        monkeypatch.setattr(
            host_cpu, "version_of", lambda one: "0.0.1" if one == name else version_of(one)
        )
    else:
        text = getattr(target, name)()
        monkeypatch.setattr(target, name, lambda: text + ",+other")
    assert jit.cache_key() != key


# --- other processes --------------------------------------------------------------------------

COMPILE = """
import sys
from pathlib import Path
from halfbyte.kernels import pool, step
from halfbyte.kernels.compiler import jit, target
from halfbyte.kernels.layouts import lookup, panel_packing
from halfbyte.kernels.formats.registry import FORMATS
from halfbyte.kernels.products import matmul
from halfbyte.kernels.quantizers.dequantize import dequantizer
from halfbyte.kernels.quantizers.quantize import quantizer
from halfbyte.kernels.stages import attention, rope
target.force(sys.argv[1])
jit.set_cache_root(Path(sys.argv[2]))
names = sys.argv[3].split(",")
kernels = [pool.serve, step.step] if "F16" in names else [pool.serve]
for name in names:
    kernels += [panel_packing.pack_kernel(name), lookup.lookup_kernel(name)]
    kernels += [matmul.matmul_kernel(name, way) for way in matmul.ways(name)]
    if FORMATS[name].is_quantized:
        kernels += [dequantizer(FORMATS[name]), quantizer(FORMATS[name])]
for head in [("f16", 64, 64, 3), ("f32", 18, 32, 2)] if "F16" in names else []:
    kernels += [attention.attention_kernel(*head), rope.rope_append_kernel(*head)]
assert len({k.name for k in kernels}) == len(kernels)
n = jit.compile_all(kernels, lambda done, total: None)
assert n or "numba" not in sys.modules
print(n, len(kernels))
"""


def test_another_process_compiles_nothing_and_imports_no_numba(
    run_python: RunPython, kernel_cache: Path
) -> None:
    """Every kind of kernel; the first process finds most compiled already, the second all."""
    names = ",".join(CHECKED)
    for expected in (None, 0):
        n, total = map(
            int, run_python(COMPILE, target.current().name, kernel_cache, names).split()
        )  # fmt: skip
        assert total > 20 and expected in (None, n)


# Rows of ones and of a type's own bytes, packed and looked up again.
PACK = """
import sys
from pathlib import Path
import numpy as np
from halfbyte.kernels.compiler import jit, target
from halfbyte.kernels.layouts.lookup import lookup_kernel
from halfbyte.kernels.layouts.packing import pack
from halfbyte.kernels.layouts.panels import PANEL_FORMATS, n_panels
from halfbyte.kernels.pool import Pool
from halfbyte.kernels.quantizers.quantize import quantize
target.force(sys.argv[1])
jit.set_cache_root(Path(sys.argv[2]))
pool = Pool(1)
for name in sys.argv[3].split(","):
    fmt = PANEL_FORMATS[name]
    rows = quantize(np.ones((32, 256), np.float32), fmt.source)
    packed, row = np.empty(fmt.nbytes(32, 256), np.uint8), np.empty(256, np.float32)
    pack(pool, rows, fmt, 256, packed)
    lookup_kernel(name).call(packed.ctypes.data, n_panels(32), fmt.n_units(256), 5, row.ctypes.data)
    print(name, abs(row - 1).max() < 0.01)
"""


def test_kernels_of_different_processes_do_not_mix(run_python: RunPython, tmp_path: Path) -> None:
    """What each compiles first has the same numbers in the names of its helpers."""
    names = ("F32", "Q4_0", "Q4_K")
    for given in (*names, ",".join(names)):
        out = run_python(PACK, target.current().name, tmp_path / "cache", given)
        assert out == "".join(f"{name} True\n" for name in given.split(","))


def test_machine_code_of_one_name_does_not_mix() -> None:
    def other(out):
        put_i32(out, np.int32(7))

    found = []
    for kernel in (_fresh("test_twins"), Kernel(other, "test_twins")):
        code = kernel.new_code()
        kernel._address = machine_code.load(code.machine_code, code.entry)
        found.append(kernel)
    assert [_answer(kernel) for kernel in found] == [42, 7]


def test_a_helper_within_a_function_needs_a_name_of_its_own() -> None:
    def helper(x: int) -> int:
        return x

    with pytest.raises(ValueError, match="unique"):
        jit.device(helper)


def test_a_new_cache_is_filled_once(run_python: RunPython, tmp_path: Path) -> None:
    for expected in (lambda total: total, lambda total: 0):
        n, total = map(
            int, run_python(COMPILE, target.current().name, tmp_path / "new", "Q4_0").split()
        )  # fmt: skip
        assert n == expected(total)
