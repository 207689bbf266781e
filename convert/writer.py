"""Writing GGUF: metadata, then tensors in the order in which they come."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

from halfbyte.kernels.formats.block_format import BlockFormat
from halfbyte.lazy_dataclass import dataclass
from halfbyte.quality.figures import tensor_line
from halfbyte.results import Result


@dataclass(frozen=True, slots=True)
class Planned(Result):
    """A tensor as it will stand in the file."""

    name: str
    shape: tuple[int, ...]
    format: BlockFormat

    @property
    def n_weights(self) -> int:
        """Its numbers."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of its data."""
        return math.prod(self.shape[:-1]) * self.format.row_nbytes(self.shape[-1])


class Writer:
    """Writes tensors, in any order, into a file whose metadata `meta` holds.

    While they come in the file's order they are hashed on the way, which saves reading them again.
    """

    def __init__(self, path: Path, meta: gguf.GGUFWriter, plan: Sequence[Planned]) -> None:
        with closing(meta):
            self._write_head(path, meta, plan)
        at = _aligned(path.stat().st_size)
        self._places: dict[str, tuple[int, int]] = {}
        for tensor in plan:
            self._places[tensor.name] = (at, tensor.nbytes)
            at = _aligned(at + tensor.nbytes)
        os.truncate(path, at)
        self._file = path.open("r+b")
        self._digest = hashlib.sha256()
        self._lines = {t.name: tensor_line(t.name, t.format.name, t.shape) for t in plan}
        self._is_in_order = True

    def _write_head(self, path: Path, meta: gguf.GGUFWriter, plan: Sequence[Planned]) -> None:
        for tensor in plan:
            meta.add_tensor_info(
                tensor.name,
                tensor.shape if not tensor.format.is_quantized else _byte_shape(tensor),
                np.dtype(np.uint8) if tensor.format.is_quantized else np.dtype(np.float32),
                tensor.nbytes,
                raw_dtype=_type(tensor.format),  # type: ignore[arg-type]
            )
        meta.write_header_to_file(path)
        meta.write_kv_data_to_file()
        meta.write_ti_data_to_file()

    def write(self, name: str, data: NDArray[np.uint8]) -> None:
        """Write a tensor's bytes, or those that come next of them."""
        at, nbytes = self._places[name]
        if data.nbytes > nbytes:
            raise ValueError(f"{name}: {data.nbytes} bytes for a place of {nbytes}")
        self._is_in_order &= name == next(iter(self._places))
        self._places[name] = (at + data.nbytes, nbytes - data.nbytes)
        if data.nbytes == nbytes:
            del self._places[name]
        content = np.ascontiguousarray(data).data
        self._file.seek(at)
        self._file.write(content)
        if self._is_in_order:
            self._digest.update(self._lines.pop(name, b""))
            self._digest.update(content)

    @property
    def sha256(self) -> str | None:
        """The checksum of all tensors, see figures.py, or None if they came in another order."""
        return self._digest.hexdigest() if self._is_in_order else None

    def close(self) -> None:
        """Flush and close the file."""
        self._file.close()

    def check_complete(self) -> None:
        """ValueError unless every tensor was written."""
        if self._places:
            raise ValueError(f"tensors without bytes: {', '.join(self._places)}")


def _aligned(at: int) -> int:
    return -(-at // gguf.GGUF_DEFAULT_ALIGNMENT) * gguf.GGUF_DEFAULT_ALIGNMENT


def _type(fmt: BlockFormat) -> int:
    """A type as the package writes it; it is told of those that are younger than it."""
    sizes: dict[int, tuple[int, int]] = gguf.GGML_QUANT_SIZES  # type: ignore[assignment]
    sizes.setdefault(fmt.ggml_id, (fmt.block_size, fmt.block_nbytes))
    return fmt.ggml_id


def _byte_shape(tensor: Planned) -> tuple[int, ...]:
    # The gguf package wants the shape of the bytes for quantized data.
    return (*tensor.shape[:-1], tensor.format.row_nbytes(tensor.shape[-1]))
