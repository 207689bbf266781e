"""Machine code of finished kernels, put into memory without Numba or LLVM.

A kernel's object file has its code, perhaps constants, and some addresses to fill in: of its own
sections, and of the few functions of C that it calls. That much is done here for ELF on x86-64,
whose code model lets everything lie anywhere; LLVM, whose library takes longer to load than all
kernels of a model, links whatever else there is (llvm_linker.py). Memory is never writable and
executable at once.

Source: System V ABI, chapters 4 and 5; its AMD64 supplement for the relocations.
"""

from __future__ import annotations

import ctypes
import logging
import mmap
import os
import struct
import sys
from functools import cache

from halfbyte.lazy_dataclass import dataclass

log = logging.getLogger(__name__)

_HEADER, _SECTION = struct.Struct("<16sHHIQQQIHHHHHH"), struct.Struct("<IIQQQQIIQQ")
_SYMBOL, _RELOCATION = struct.Struct("<IBBHQQ"), struct.Struct("<QQq")
_IDENT = b"\x7fELF\2\1\1"  # 64 bits, little-endian
_RELOCATABLE, _X86_64 = 1, 62
_PROGBITS, _SYMTAB, _RELA, _REL = 1, 2, 4, 9
_WRITE, _ALLOC = 1, 2
_ABSOLUTE = 1  # R_X86_64_64
_EH_FRAME = ".eh_frame"  # for exceptions, of which kernels have none


class UnknownObjectError(Exception):
    """An object file has something that is not known here; says what."""


def load(object_code: bytes, entry: str) -> int:
    """Make an object file's code callable; the address of the function `entry`.

    The file must be one that was written here, byte by byte: it is trusted.
    """
    try:
        if sys.platform != "linux":
            raise UnknownObjectError(f"object files of {sys.platform}")
        return _load(_Object.of(object_code), entry)
    except UnknownObjectError as error:
        _tell(str(error))
    from halfbyte.kernels.compiler import llvm_linker

    return llvm_linker.load(object_code, entry)


@cache
def _tell(what: str) -> None:
    """Once: a model has many kernels."""
    log.info("LLVM links compiled kernels, which takes it longer; not known here: %s", what)


@dataclass(frozen=True, slots=True)
class _Section:
    name: str
    kind: int
    flags: int
    begin: int
    nbytes: int
    link: int
    info: int
    alignment: int


@dataclass(frozen=True, slots=True)
class _Object:
    """An object file's sections, and its symbols: (name, section's number, value)."""

    data: bytes
    sections: list[_Section]
    symbols: list[tuple[str, int, int]]

    @classmethod
    def of(cls, data: bytes) -> _Object:
        try:
            ident, kind, machine, *_, n, names = _HEADER.unpack_from(data)
            if not ident.startswith(_IDENT) or (kind, machine) != (_RELOCATABLE, _X86_64):
                raise UnknownObjectError(
                    f"files that begin with {ident[:6].hex()}, of kind {kind} and machine {machine}"
                )
            (at,) = struct.unpack_from("<Q", data, 40)
            found = [_SECTION.unpack_from(data, at + _SECTION.size * i) for i in range(n)]
            texts = found[names][4]
            sections = [
                _Section(_text(data, texts + name), kind, flags, begin, nbytes, link, info, align)
                for name, kind, flags, _, begin, nbytes, link, info, align, _ in found
            ]
            table = next(s for s in sections if s.kind == _SYMTAB)
            texts = sections[table.link].begin
            parts = _SYMBOL.iter_unpack(data[table.begin : table.begin + table.nbytes])
            symbols = [(_text(data, texts + name), at, value) for name, _, _, at, value, _ in parts]
        except (struct.error, ValueError, IndexError, OverflowError, StopIteration) as error:
            raise UnknownObjectError(f"tables of an object file ({error!r})") from error
        return cls(data, sections, symbols)


def _text(data: bytes, at: int) -> str:
    return data[at : data.index(b"\0", at)].decode()


def _load(made: _Object, entry: str) -> int:
    """The entry's address in new memory."""
    places, end = dict[int, int](), 0
    for i, section in enumerate(made.sections):
        if not section.flags & _ALLOC or not section.nbytes or section.name == _EH_FRAME:
            continue
        if section.kind != _PROGBITS or section.flags & _WRITE:
            kind = f"of kind {section.kind}, with flags {section.flags:#x}"
            raise UnknownObjectError(f"a section {section.name} {kind}")
        alignment = max(section.alignment, 1)  # 0 says the same
        if alignment > mmap.PAGESIZE:  # to more of which no memory is aligned
            raise UnknownObjectError(f"a section {section.name} aligned to {alignment} bytes")
        places[i] = end = -(-end // alignment) * alignment
        end += section.nbytes
    entries = [(at, value) for name, at, value in made.symbols if name == entry and at in places]
    if len(entries) != 1:
        raise UnknownObjectError(f"{len(entries)} functions {entry} in an object file")
    memory = _memory(end)
    base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for i, at in places.items():
        begin, nbytes = made.sections[i].begin, made.sections[i].nbytes
        memory[at : at + nbytes] = made.data[begin : begin + nbytes]
    for section in made.sections:
        if section.kind in (_REL, _RELA) and section.info in places:
            _fill_in(made, section, memory, base, places)
    _make_executable(base, len(memory))
    # Code lives as long as the process, also while Python clears its modules away at the end:
    # threads may be in it, which nobody stops then.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(memory))
    return base + places[entries[0][0]] + entries[0][1]


def _memory(nbytes: int) -> mmap.mmap:
    try:
        return mmap.mmap(-1, nbytes, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:  # which only lack of memory, or a limit of it, can be
        raise MemoryError(f"no {nbytes} bytes for machine code") from error


def _fill_in(
    made: _Object, table: _Section, memory: mmap.mmap, base: int, places: dict[int, int]
) -> None:
    """Write the addresses that a section asks for."""
    if table.kind != _RELA:  # addends lie where the addresses will
        raise UnknownObjectError(f"a section {table.name} of relocations without addends")
    first = places[table.info]
    parts = made.data[table.begin : table.begin + table.nbytes]
    for at, info, addend in _RELOCATION.iter_unpack(parts):
        name, section, value = made.symbols[info >> 32]
        if info & 0xFFFFFFFF != _ABSOLUTE:
            raise UnknownObjectError(f"relocations of type {info & 0xFFFFFFFF} in {table.name}")
        if section == 0:
            address = _function_of_c(name)
        elif section in places:
            address = base + places[section] + value
        else:
            raise UnknownObjectError(f"an address in section {section}, which is not loaded")
        struct.pack_into("<Q", memory, first + at, address + addend)


def _function_of_c(name: str) -> int:
    """The address of what this process calls by a name."""
    try:
        function = getattr(ctypes.CDLL(None), name)
    except AttributeError as error:
        raise UnknownObjectError(f"a function {name}, which is not of C") from error
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def _make_executable(base: int, nbytes: int) -> None:
    """Code may be run, and written no more."""
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    read_and_execute = mmap.PROT_READ | mmap.PROT_EXEC
    if protect(ctypes.c_void_p(base), ctypes.c_size_t(nbytes), read_and_execute) != 0:
        number = ctypes.get_errno()
        raise OSError(
            number, f"{os.strerror(number)}: the system lets this process make no machine code, "
            "which all of halfbyte's is; allow it (systemd: MemoryDenyWriteExecute=no, SELinux: "
            "execmem)",
        )  # fmt: skip
