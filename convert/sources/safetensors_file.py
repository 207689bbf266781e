"""Reading safetensors: the format's own library checks a file, then its rows are read in place.

    u64 length of the header, JSON header, tensor data
    header: name -> {"dtype", "shape", "data_offsets": [begin, end]}, "__metadata__" aside

What the library refuses is refused. Rows are read at the offsets that it has found to be sound,
never mapped: a file that is cut short meanwhile is an error here, and a killed process there.
Source: the format description of the safetensors project.
"""

from __future__ import annotations

import json
from dataclasses import field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from halfbyte.errors import ConversionError
from halfbyte.files.file_kinds import SAFETENSORS, refused
from halfbyte.files.file_reader import FileReader
from halfbyte.kernels.formats.block_format import BlockFormat
from halfbyte.kernels.formats.registry import FORMATS
from halfbyte.lazy_dataclass import dataclass

# Of numbers that NumPy lacks, their bits.
_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "F8_E4M3": "u1", "F8_E5M2": "u1",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1", "BOOL": "u1",
}  # fmt: skip
FLOATS = ("F32", "F16", "BF16")


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor in a file; `dtype` is safetensors' name for it."""

    is_quantized: ClassVar[bool] = False

    file: SafetensorsFile = field(repr=False)
    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def path(self) -> Path:
        """The file."""
        return self.file.path

    @property
    def format(self) -> BlockFormat | None:
        """How GGUF would store the same bytes."""
        return FORMATS[self.dtype] if self.dtype in FLOATS else None

    def raw(self, begin: int = 0, end: int | None = None) -> NDArray[Any]:
        """Some rows (entries of a vector) as they are stored; BF16 and FP8 as their bits."""
        dtype = np.dtype(_DTYPES[self.dtype])
        if not self.shape:
            return self.file.bytes.read(self.begin, self.end).view(dtype).reshape(())
        n_rows, rest = self.shape[0], self.shape[1:]
        row = int(np.prod(rest, dtype=np.int64)) * dtype.itemsize
        stop = n_rows if end is None else min(end, n_rows)
        data = self.file.bytes.read(self.begin + begin * row, self.begin + stop * row)
        return data.view(dtype).reshape(stop - begin, *rest)

    def floats(self) -> NDArray[np.float32]:
        """All of it as float32, widened exactly.

        Raises:
            ConversionError: it does not hold floats of at most 32 bits.
        """
        if self.dtype not in FLOATS:
            raise ConversionError(
                self.file.path, f"{self.name}: dtype", expected=" or ".join(FLOATS), got=self.dtype
            )
        return widened(np.atleast_1d(self.raw()), self.dtype).reshape(self.shape)

    def rows(self, index: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """Some rows (entries of a vector) as float32, widened exactly."""
        return widened(self._some(index), self.dtype)

    def stored(self, index: slice | NDArray[np.int64]) -> NDArray[np.uint8]:
        """The same as they are stored: uint8 (rows, bytes)."""
        raw = np.ascontiguousarray(self._some(index))
        return raw.reshape(len(raw), -1).view(np.uint8)

    def prefetch(self) -> None:
        """Have it read from the disk in the background."""
        self.file.bytes.prefetch(self.begin, self.end)

    def release(self) -> None:
        """It keeps nothing."""

    def _some(self, index: slice | NDArray[np.int64]) -> NDArray[Any]:
        if isinstance(index, slice):
            begin, end, _ = index.indices(self.shape[0])
            return self.raw(begin, end)
        begin = int(index.min()) if len(index) else 0
        return self.raw(begin, int(index.max()) + 1 if len(index) else 0)[index - begin]


class SafetensorsFile:
    """An open file and its tensors by name.

    Raises:
        ConversionError: the file cannot be read or its header does not hold.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bytes = FileReader(path, ConversionError)
        try:
            header, data_at = _checked_header(self.bytes)
            self.tensors = {
                name: _tensor(self, name, entry, data_at)
                for name, entry in header.items()
                if name != "__metadata__"
            }
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self.bytes.close()


def _checked_header(file: FileReader) -> tuple[dict[str, Any], int]:
    """The header of a file that the library accepts, and where its data begin."""
    try:
        with safe_open(file.path, framework="numpy"):
            pass
        data_at = 8 + int.from_bytes(file.read(0, 8).tobytes(), "little")
        text = file.read(8, data_at).tobytes().decode()
        return json.loads(text, object_pairs_hook=_unique), data_at
    except (OSError, SafetensorError, ValueError, RecursionError) as error:
        raise refused(
            ConversionError, file.path, "header", expected=SAFETENSORS.what, got=str(error),
            hint="the file may be cut short or only partly downloaded: download it again",
        ) from error  # fmt: skip


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key occurs twice")
    return result


def _tensor(file: SafetensorsFile, name: str, entry: dict[str, Any], data_at: int) -> StoredTensor:
    dtype = entry["dtype"]
    if dtype not in _DTYPES:
        raise ConversionError(file.path, f"{name}: dtype", expected=" or ".join(_DTYPES), got=dtype)
    begin, end = (data_at + offset for offset in entry["data_offsets"])
    return StoredTensor(file, name, dtype, tuple(entry["shape"]), begin, end)


def widened(raw: NDArray[Any], dtype: str) -> NDArray[np.float32]:
    """Rows of F32, F16 or BF16 as float32."""
    if dtype == "F32":
        return np.asarray(raw, np.float32)
    if dtype == "F16":
        return raw.astype(np.float32)
    return (raw.astype(np.uint32) << np.uint32(16)).view(np.float32)
