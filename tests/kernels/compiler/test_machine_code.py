"""Machine code that is put into memory here, against LLVM's linker."""

from __future__ import annotations

import ctypes
import logging
import platform
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import llvmlite.binding as llvm
import numpy as np
import pytest

from halfbyte.kernels.compiler import llvm_linker, machine_code

is_known = sys.platform == "linux" and platform.machine() == "x86_64"
only_here = pytest.mark.skipif(not is_known, reason="ELF on x86-64; LLVM links the rest")

# Constants at an alignment of their own, a function of C, and one of the module's own.
SOURCE = """
@table = internal constant [4 x i64] [i64 3, i64 5, i64 7, i64 9], align 64
@behind = internal constant [2 x i64] [i64 11, i64 13], align 16
declare ptr @memcpy(ptr, ptr, i64)
define internal i64 @twice(i64 %x) noinline {
    %y = mul i64 %x, 2
    ret i64 %y
}
define void @entry_name(i64 %out, i64 %i) {
    %at = getelementptr [4 x i64], ptr @table, i64 0, i64 %i
    %x = load i64, ptr %at
    %y = call i64 @twice(i64 %x)
    %to = inttoptr i64 %out to ptr
    store i64 %y, ptr %to
    %rest = getelementptr i64, ptr %to, i64 1
    %a = getelementptr [2 x i64], ptr @behind, i64 0, i64 0
    %b = call ptr @memcpy(ptr %rest, ptr %a, i64 16)
    ret void
}
"""
WITH_A_VARIABLE = """
@count = internal global i64 40
define void @entry_name(i64 %out, i64 %i) {
    %old = load i64, ptr @count
    %new = add i64 %old, %i
    store i64 %new, ptr @count
    %to = inttoptr i64 %out to ptr
    store i64 %new, ptr %to
    ret void
}
"""
ENDLESS = """
define void @entry_name(i64 %out, i64 %i) {
    br label %again
again:
    %to = inttoptr i64 %out to ptr
    store volatile i64 1, ptr %to
    br label %again
}
"""
UNKNOWN_FUNCTION = """
declare void @no_function_of_c()
define void @entry_name(i64 %out, i64 %i) {
    call void @no_function_of_c()
    ret void
}
"""


KIND, ALIGNMENT = 1, 8  # fields of a section


def compiled(source: str) -> bytes:
    module = llvm.parse_assembly(source)
    return bytes(llvm_linker._machine().emit_object(module))


def with_section(made: bytes, name: str, field: int, value: int) -> bytes:
    """An object whose sections of a name have another value in a field."""
    section, found = machine_code._SECTION, bytearray(made)
    (begin,) = struct.unpack_from("<Q", made, 40)
    sections = machine_code._Object.of(made).sections
    at = [begin + section.size * i for i, one in enumerate(sections) if one.name.startswith(name)]
    assert at
    for place in at:
        fields = list(section.unpack_from(made, place))
        fields[field] = value
        section.pack_into(found, place, *fields)
    return bytes(found)


def answer(address: int, i: int) -> list[int]:
    out = np.zeros(3, np.int64)
    ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)(address)(out.ctypes.data, i)
    return [int(x) for x in out]


@only_here
def test_it_answers_as_what_llvm_links(monkeypatch: pytest.MonkeyPatch) -> None:
    made = compiled(SOURCE)
    theirs = llvm_linker.load(made, "entry_name")
    monkeypatch.setattr(llvm_linker, "load", None)
    ours = machine_code.load(made, "entry_name")
    assert [answer(ours, i) for i in range(4)] == [[2 * x, 11, 13] for x in (3, 5, 7, 9)]
    assert [answer(ours, i) for i in range(4)] == [answer(theirs, i) for i in range(4)]


@only_here
def test_code_is_never_writable() -> None:
    address = machine_code.load(compiled(SOURCE), "entry_name")
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, allowed = line.split()[:2]
        begin, end = (int(word, 16) for word in span.split("-"))
        if begin <= address < end:
            assert allowed == "r-xp"
            return
    raise AssertionError("not mapped")


@only_here
def test_code_stays_until_the_process_has_ended(tmp_path: Path) -> None:
    (tmp_path / "made").write_bytes(compiled(ENDLESS))
    script = """if True:
        import ctypes, pathlib, sys, threading
        from halfbyte.kernels.compiler import machine_code

        made = pathlib.Path(sys.argv[1]).read_bytes()
        run = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 2)(machine_code.load(made, "entry_name"))
        out = (ctypes.c_int64 * 1)()
        threading.Thread(target=run, args=(ctypes.addressof(out), 0), daemon=True).start()
        while not out[0]:
            pass
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(out))  # as whoever runs kernels keeps it
    """
    done = subprocess.run([sys.executable, "-c", script, tmp_path / "made"], timeout=60)
    assert done.returncode == 0


@only_here
def test_a_system_that_forbids_machine_code_is_named(tmp_path: Path) -> None:
    (tmp_path / "made").write_bytes(compiled(SOURCE))
    script = """if True:
        import ctypes, pathlib, sys
        from halfbyte.kernels.compiler import machine_code

        made, set_mdwe, refuse_exec_gain = pathlib.Path(sys.argv[1]).read_bytes(), 65, 1
        if ctypes.CDLL(None).prctl(set_mdwe, refuse_exec_gain, 0, 0, 0) != 0:
            print("MemoryDenyWriteExecute is not to be had")
            raise SystemExit
        try:
            machine_code.load(made, "entry_name")
        except PermissionError as error:
            print(error)
    """
    command = [sys.executable, "-c", script, tmp_path / "made"]
    done = subprocess.run(command, timeout=60, capture_output=True, text=True)
    assert done.returncode == 0 and "MemoryDenyWriteExecute" in done.stdout


@only_here
def test_no_memory_for_machine_code_is_a_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*args: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(machine_code.mmap, "mmap", no_room)
    with pytest.raises(MemoryError, match="machine code"):
        machine_code.load(compiled(SOURCE), "entry_name")


@pytest.fixture
def nothing_told() -> Iterator[None]:
    machine_code._tell.cache_clear()
    yield
    machine_code._tell.cache_clear()


@pytest.mark.usefixtures("nothing_told")
def test_what_is_not_known_is_left_to_llvm(caplog: pytest.LogCaptureFixture) -> None:
    made = compiled(WITH_A_VARIABLE)
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            assert answer(machine_code.load(made, "entry_name"), 2)[0] == 42
    (record,) = caplog.records  # once, for as many kernels as there are
    assert record.levelno == logging.INFO and "not known here: " in record.message


@pytest.mark.usefixtures("nothing_told")
def test_another_system_is_left_to_llvm(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = compiled(SOURCE)
    monkeypatch.setattr(machine_code, "sys", SimpleNamespace(platform="win32"))
    with caplog.at_level(logging.INFO):
        assert answer(machine_code.load(made, "entry_name"), 3) == [18, 11, 13]
    assert "object files of win32" in caplog.text


@only_here
@pytest.mark.parametrize(
    ("made", "entry", "what"),
    [
        (b"", "entry_name", "tables of an object file"),
        (compiled(SOURCE)[:100], "entry_name", "tables of an object file"),
        (b"\xcf\xfa\xed\xfe" + bytes(100), "entry_name", "files that begin with cffaedfe0000"),
        (compiled(SOURCE), "other_name", "0 functions other_name"),
        (compiled(WITH_A_VARIABLE), "entry_name", r"a section \.\w+ of kind 1, with flags"),
        (compiled(UNKNOWN_FUNCTION), "entry_name", "a function no_function_of_c"),
        (compiled(SOURCE.replace("align 64", f"align {1 << 16}")), "entry_name",
         "aligned to 65536 bytes"),
        (with_section(compiled(SOURCE), ".rela.ltext", KIND, 9), "entry_name",  # SHT_REL
         r"a section \.rela\.ltext of relocations"),
    ],
)  # fmt: skip
def test_what_is_not_known_here(made: bytes, entry: str, what: str) -> None:
    with pytest.raises(machine_code.UnknownObjectError, match=what):
        machine_code._load(machine_code._Object.of(made), entry)


@only_here
def test_no_alignment_is_none() -> None:
    made = with_section(compiled(SOURCE), ".ltext", ALIGNMENT, 0)
    assert answer(machine_code.load(made, "entry_name"), 3) == [18, 11, 13]


@only_here
def test_headers_that_point_anywhere_are_not_known() -> None:
    made = compiled(SOURCE)
    for value in (1 << 63, (1 << 64) - 1, len(made) - 1):
        with pytest.raises(machine_code.UnknownObjectError):
            machine_code._Object.of(made[:40] + struct.pack("<Q", value) + made[48:])
