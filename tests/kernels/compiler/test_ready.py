"""Kernels that come with the package: taken by the sources and the ISA they are made for, alone."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from halfbyte.kernels.compiler import code_files, ready, target
from halfbyte.kernels.compiler.code_files import Code

ISAS = {isa.name: isa for isa in target.ISAS}
SOURCES = b"their hash"
SETUP = """
import sys
from pathlib import Path
from halfbyte.kernels.compiler import jit, ready, target
from halfbyte.kernels.pool import serve
root = Path(sys.argv[1])
"""
BRING = (
    SETUP
    + """
target.force("generic", least=True)
folder = ready.folder_of(target.current(), jit.SOURCES, root)
folder.mkdir(parents=True)
print(ready.write(folder, serve.name, serve.new_code), serve.is_ready)
"""
)
START = (
    SETUP
    + """
ready._ROOT = ready.folder_of.__defaults__[0] if len(sys.argv) > 2 else root
ready.folder_of.__defaults__ = (ready._ROOT,)
target.force("generic")
print(serve.load(), "numba" in sys.modules, list(jit.cache_directory().iterdir()))
"""
)


def _run(code: str, *args: object) -> str:
    command = [sys.executable, "-c", code, *map(str, args)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="brought for x86-64 only")
def test_a_first_start_compiles_nothing_that_comes_with_the_package(tmp_path: Path) -> None:
    size, is_ready = _run(BRING, tmp_path).split()
    assert int(size) > 500 and is_ready == "False"
    assert _run(START, tmp_path) == "True False []"
    assert _run(START, tmp_path, "without them") == "False False []"


def _brought(monkeypatch: pytest.MonkeyPatch, root: Path, isa: str) -> Path:
    """A folder with code for an ISA; this process is of that ISA, and looks there."""
    folder = ready.folder_of(ISAS[isa], SOURCES, root)
    assert folder is not None
    folder.mkdir(parents=True)
    ready.write(folder, "product", lambda: Code("product", "halfbyte_product", b"\x7fELF"))
    monkeypatch.setattr(target, "current", lambda: ISAS[isa])
    monkeypatch.setattr(ready.folder_of, "__defaults__", (root,))
    ready._folder.cache_clear()
    return folder


def test_code_of_these_sources_and_this_isa_alone_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _brought(monkeypatch, tmp_path, "avx2")
    found = ready.read("product", SOURCES)
    assert found is not None and found.machine_code == b"\x7fELF"
    assert ready.read("another", SOURCES) is None
    assert ready.read("product", b"other sources") is None
    monkeypatch.setattr(target, "current", lambda: ISAS["avx512vnni"])
    assert ready.read("product", SOURCES) is None
    monkeypatch.setattr(target, "current", lambda: ISAS["amx"])
    assert ready.read("product", SOURCES) is None
    assert (folder / f"product{code_files.SUFFIX}").stat().st_mode & 0o777 == 0o644
    ready._folder.cache_clear()


def test_damaged_code_is_compiled_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = _brought(monkeypatch, tmp_path, "avx2")
    path = folder / f"product{code_files.SUFFIX}"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert ready.read("product", SOURCES) is None
    assert "damaged" in caplog.text
    ready._folder.cache_clear()
