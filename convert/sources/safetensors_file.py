"""Reading safetensors: the header is checked strictly before any of it is believed.

    u64 length of the header, JSON header, tensor data
    header: name -> {"dtype", "shape", "data_offsets": [begin, end]}, "__metadata__" aside

The ranges must tile the data section without holes or overlaps. Tensors are views of the mapped
file. Source: the format description of the safetensors project.
"""

from __future__ import annotations

import json
import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halfbyte.errors import ConversionError
from halfbyte.json_folder import check_regular
from halfbyte.kernels.formats.registry import FORMATS
from halfbyte.kernels.quantizers.quantize import dequantize

MAX_HEADER_NBYTES = 100_000_000
_DTYPES = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor in a file; `dtype` is F32, F16 or BF16."""

    file: SafetensorsFile
    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    def rows(self, index: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """Some rows (entries of a vector) as float32, widened exactly."""
        data = np.frombuffer(self.file.mapped, np.uint8, self.end - self.begin, self.begin)
        raw = data.view(_DTYPES[self.dtype]).reshape(self.shape)[index]
        rows = np.ascontiguousarray(raw).reshape(-1, raw.shape[-1] if raw.ndim > 1 else 1)
        fmt = FORMATS[self.dtype]
        return dequantize(rows.view(np.uint8), fmt, rows.shape[1]).reshape(raw.shape)

    def prefetch(self) -> None:
        """Have it read from the disk in the background: page by page it would take far longer."""
        begin = self.begin // mmap.PAGESIZE * mmap.PAGESIZE
        if hasattr(self.file.mapped, "madvise") and self.end > begin:
            self.file.mapped.madvise(mmap.MADV_WILLNEED, begin, self.end - begin)


class SafetensorsFile:
    """One mapped file and its tensors by name.

    Raises:
        ConversionError: the file cannot be read or its header does not hold.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            check_regular(path)
            with path.open("rb") as file:
                self.mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError as error:
            raise ConversionError(path, expected="safetensors", got="an empty file") from error
        except OSError as error:
            raise ConversionError(path, expected="a readable file", got=str(error)) from error
        header, data_at = _read_header(path, self.mapped)
        self.tensors = {
            name: _tensor(self, name, entry, data_at)
            for name, entry in header.items()
            if name != "__metadata__"
        }
        _check_tiling(path, list(self.tensors.values()), data_at, len(self.mapped))

    def release(self) -> None:
        """Give the pages that were read back to the system."""
        if hasattr(self.mapped, "madvise"):
            self.mapped.madvise(mmap.MADV_DONTNEED)


def _read_header(path: Path, mapped: mmap.mmap) -> tuple[dict[str, Any], int]:
    if len(mapped) < 8:
        raise ConversionError(path, "header", expected="8 bytes of length", got=len(mapped))
    n = int.from_bytes(mapped[:8], "little")
    limit = min(MAX_HEADER_NBYTES, len(mapped) - 8)
    if n > limit:
        raise ConversionError(path, "header length", expected=f"at most {limit}", got=n)
    try:
        header = json.loads(mapped[8 : 8 + n].decode(), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise ConversionError(path, "header", expected="JSON", got=str(error)) from error
    if not isinstance(header, dict):
        raise ConversionError(path, "header", expected="a JSON object", got=type(header).__name__)
    return header, 8 + n


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key occurs twice")
    return result


def _tensor(file: SafetensorsFile, name: str, entry: object, data_at: int) -> StoredTensor:
    def bad(field: str, expected: str, got: object) -> ConversionError:
        return ConversionError(file.path, f"{name}: {field}", expected=expected, got=got)

    if not isinstance(entry, dict):
        raise bad("entry", "a JSON object", entry)
    dtype: Any = entry.get("dtype")
    shape: Any = entry.get("shape")
    offsets: Any = entry.get("data_offsets")
    if dtype not in _DTYPES:
        raise bad("dtype", " or ".join(_DTYPES), dtype)
    if not _are_counts(shape):
        raise bad("shape", "a list of whole numbers", shape)
    if not _are_counts(offsets) or len(offsets) != 2:
        raise bad("data_offsets", "two whole numbers", offsets)
    n = np.dtype(_DTYPES[dtype]).itemsize
    for length in shape:
        n *= length
    if offsets[1] - offsets[0] != n:
        raise bad("data_offsets", f"{n} bytes for {dtype} {tuple(shape)}", offsets)
    begin, end = (data_at + offset for offset in offsets)
    return StoredTensor(file, name, dtype, tuple(shape), begin, end)


def _are_counts(value: object) -> bool:
    return isinstance(value, list) and all(type(x) is int and x >= 0 for x in value)


def _check_tiling(path: Path, tensors: list[StoredTensor], at: int, n: int) -> None:
    for tensor in sorted(tensors, key=lambda t: (t.begin, t.end)):
        if tensor.begin != at:
            raise ConversionError(
                path, f"{tensor.name}: data_offsets", expected=f"to begin at byte {at}",
                got=tensor.begin, hint="the header leaves holes or overlaps",
            )  # fmt: skip
        at = tensor.end
    if at != n:
        raise ConversionError(
            path, "data", expected=f"{at} bytes", got=n, hint="the file may be cut short"
        )
