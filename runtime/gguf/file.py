"""Reading GGUF: the header, the metadata and where each tensor lies, all checked before use.

A GGUF file (versions 2 and 3, little-endian) is

    "GGUF", version u32, n_tensors u64, n_metadata u64
    metadata     n x { key string, type u32, value }
    tensor table n x { name string, n_dims u32, dims u64[n_dims], type u32, offset u64 }
    padding to general.alignment, then the tensors' data at their offsets

Strings are a u64 length and bytes. Every length is compared with the bytes that are left before
anything is read or allocated, so time and memory are bounded by the file's size.
Source: ggml's docs/gguf.md.
"""

from __future__ import annotations

import mmap
import os
import stat
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from halfbyte.errors import ModelFileError, UnsupportedModelError, unreadable
from halfbyte.file_kinds import refused
from halfbyte.gguf.metadata import Cursor, Metadata, read_metadata
from halfbyte.kernels.formats.block_format import BlockFormat
from halfbyte.kernels.formats.registry import BY_GGML_ID, FORMATS

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_MAX_ALIGNMENT = 1 << 16
_MAX_DIMS = 4

# Types of ggml that do not run here yet: name, weights per block, bytes per block.
_OTHER_TYPES = {
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4),
    27: ("I64", 1, 8), 28: ("F64", 1, 8), 29: ("IQ1_M", 256, 56), 34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A tensor's place in the file.

    Attributes:
        shape: NumPy order: (rows, inputs) for a matrix.
        format: None for a type that this version cannot run (`inspect` shows it all the same).
        offset: from the file's beginning, bytes.
    """

    name: str
    shape: tuple[int, ...]
    format: BlockFormat | None
    type_name: str
    offset: int
    nbytes: int

    @property
    def is_matrix(self) -> bool:
        """Whether it has two dimensions."""
        return len(self.shape) == 2


@dataclass(frozen=True, slots=True, eq=False)
class GGUFFile:
    """An open GGUF file of `nbytes`, mapped read-only. Use `open`; a context manager."""

    path: str
    version: int
    metadata: Metadata
    tensors: dict[str, TensorInfo]
    nbytes: int
    _mapped: mmap.mmap

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, strict_types: bool = True) -> GGUFFile:
        """Map and check a file.

        Args:
            path: the file.
            strict_types: refuse tensor types that do not run; else list them without a format.

        Raises:
            ModelFileError: missing, unreadable, truncated, inconsistent or not GGUF.
            UnsupportedModelError: a version, byte order or tensor type that does not run here.
        """
        name = os.fspath(path)
        mapped = _map(name)
        try:
            cursor = Cursor(name, mapped)
            version = _read_header(cursor)
            n_tensors, n_metadata = cursor.u64("tensor_count"), cursor.u64("metadata_kv_count")
            metadata = read_metadata(cursor, n_metadata)
            alignment = _alignment(metadata)
            rows = _read_table(cursor, n_tensors)
            begin = cursor.at + -cursor.at % alignment
            tensors = {
                row[0]: _place(name, row, begin, alignment, len(mapped), strict_types)
                for row in rows
            }
            _check_overlaps(name, tensors)
        except BaseException:
            mapped.close()
            raise
        return cls(name, version, metadata, tensors, len(mapped), mapped)

    def data(self, name: str) -> NDArray[np.uint8]:
        """A tensor's bytes: a read-only view of the mapped file, uint8 (nbytes,)."""
        info = self.tensors[name]
        return np.frombuffer(self._mapped, np.uint8, info.nbytes, info.offset)

    def prefetch(self, name: str) -> None:
        """Have a tensor read from the disk in the background."""
        if hasattr(self._mapped, "madvise"):
            info = self.tensors[name]
            begin = info.offset // mmap.PAGESIZE * mmap.PAGESIZE
            self._mapped.madvise(mmap.MADV_WILLNEED, begin, info.offset + info.nbytes - begin)

    def release(self, name: str) -> None:
        """Give the memory of a tensor's pages back; they are read again when touched again."""
        if not hasattr(self._mapped, "madvise"):
            return
        info = self.tensors[name]
        begin = info.offset + -info.offset % mmap.PAGESIZE
        nbytes = (info.offset + info.nbytes - begin) // mmap.PAGESIZE * mmap.PAGESIZE
        if nbytes > 0:
            self._mapped.madvise(mmap.MADV_DONTNEED, begin, nbytes)

    def close(self) -> None:
        """Unmap the file, unless views of it are still alive."""
        try:
            self._mapped.close()
        except BufferError:
            pass  # the last view closes it

    def __enter__(self) -> GGUFFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _map(path: str) -> mmap.mmap:
    try:
        with open(path, "rb", opener=_opened) as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except ValueError as error:
        raise ModelFileError(path, expected="a GGUF file", got="an empty file") from error
    except OSError as error:
        raise unreadable(path, "a readable GGUF file", error) from error


def _opened(path: str, flags: int) -> int:
    """A descriptor of a regular file: opening a pipe would wait for one who writes."""
    number = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    mode = os.fstat(number).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        os.close(number)
        raise OSError("a pipe, socket or device")
    return number


def _read_header(cursor: Cursor) -> int:
    magic = cursor.take(4, "magic")
    if magic != _MAGIC:
        raise refused(ModelFileError, cursor.path, "magic", expected="GGUF", got=repr(magic))
    version = cursor.u32("version")
    if version & 0xFFFF == 0 and version:
        raise UnsupportedModelError(
            cursor.path, "version", expected="a little-endian file", got="a big-endian one"
        )
    if version not in _VERSIONS:
        raise UnsupportedModelError(cursor.path, "version", expected="2 or 3", got=version)
    return version


def _alignment(metadata: Metadata) -> int:
    key = "general.alignment"
    if key not in metadata:
        return 32
    value = metadata.get_int(key, minimum=1, maximum=_MAX_ALIGNMENT)
    if value & (value - 1):
        raise ModelFileError(metadata.path, key, expected="a power of two", got=value)
    return value


_Row = tuple[str, tuple[int, ...], int, int]  # name, dims as in the file, type, offset


def _read_table(cursor: Cursor, n_tensors: int) -> list[_Row]:
    cursor.check_count(n_tensors, 8 + 4 + 8 + 4 + 8, "tensor_count")
    rows: list[_Row] = []
    names: set[str] = set()
    for i in range(n_tensors):
        name = cursor.string(f"tensor {i}: name")
        if name in names:
            raise ModelFileError(cursor.path, "tensors", expected="unique names", got=name)
        names.add(name)
        n_dims = cursor.u32(f"{name}: n_dims")
        if not 1 <= n_dims <= _MAX_DIMS:
            raise ModelFileError(cursor.path, f"{name}: n_dims", expected="1 to 4", got=n_dims)
        dims = tuple(cursor.u64(f"{name}: dims[{k}]") for k in range(n_dims))
        if min(dims) < 1:
            raise ModelFileError(cursor.path, f"{name}: dims", expected="at least 1", got=dims)
        rows.append((name, dims, cursor.u32(f"{name}: type"), cursor.u64(f"{name}: offset")))
    return rows


def _place(
    path: str, row: _Row, begin: int, alignment: int, file_nbytes: int, strict: bool
) -> TensorInfo:
    name, dims, type_id, offset = row
    fmt = BY_GGML_ID.get(type_id)
    known = (fmt.name, fmt.block_size, fmt.block_nbytes) if fmt else _OTHER_TYPES.get(type_id)
    if known is None or (fmt is None and strict):
        got = known[0] if known else f"unknown type {type_id}"
        raise UnsupportedModelError(path, f"{name}: type", expected=", ".join(FORMATS), got=got)
    type_name, block, block_nbytes = known
    if dims[0] % block:
        raise ModelFileError(
            path, f"{name}: dims", expected=f"rows that are multiples of {block}", got=dims
        )
    nbytes = dims[0] // block * block_nbytes
    for n in dims[1:]:
        nbytes *= n
    if offset % alignment:
        raise ModelFileError(
            path, f"{name}: offset", expected=f"a multiple of {alignment}", got=offset
        )
    if begin + offset + nbytes > file_nbytes:
        raise ModelFileError(
            path,
            f"{name}: data",
            expected=f"bytes {begin + offset} to {begin + offset + nbytes}",
            got=f"a file of {file_nbytes} bytes",
            hint="the file may be cut short: fetch or convert it again",
        )
    return TensorInfo(name, dims[::-1], fmt, type_name, begin + offset, nbytes)


def _check_overlaps(path: str, tensors: dict[str, TensorInfo]) -> None:
    end, before = 0, ""
    for info in sorted(tensors.values(), key=lambda t: t.offset):
        if info.offset < end:
            raise ModelFileError(
                path, f"{info.name}: offset", expected=f"data behind {before}'s", got="an overlap"
            )
        end, before = info.offset + info.nbytes, info.name
