"""Writing GGUF: a .part file beside the target, renamed when it is complete."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

from halfbyte.errors import ConversionError
from halfbyte.kernels.formats import BlockFormat


@dataclass(frozen=True, slots=True)
class Planned:
    """A tensor as it will stand in the file."""

    name: str
    shape: tuple[int, ...]
    format: BlockFormat

    @property
    def nbytes(self) -> int:
        """Bytes of its data."""
        rows = 1 if len(self.shape) == 1 else self.shape[0]
        return rows * self.format.row_nbytes(self.shape[-1])


@contextmanager
def part_file(target: Path, *, force: bool) -> Iterator[Path]:
    """A path to write to, which becomes `target` if the block ends well and vanishes if not.

    Raises:
        ConversionError: the target exists and `force` is not set, or writing fails.
    """
    if target.exists() and not force:
        raise ConversionError(target, expected="a new file", got="an existing one",
                              hint="use --force (force=True) to replace it")  # fmt: skip
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, target)
    except OSError as error:
        part.unlink(missing_ok=True)
        reason = error.strerror or str(error)
        raise ConversionError(target, expected="to write the file", got=reason) from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise


class Writer:
    """Streams tensors, in the planned order, into a file whose metadata `gguf_writer` holds."""

    def __init__(self, path: Path, writer: gguf.GGUFWriter, plan: list[Planned]) -> None:
        self._writer = writer
        for tensor in plan:
            writer.add_tensor_info(
                tensor.name,
                tensor.shape if not tensor.format.is_quantized else _byte_shape(tensor),
                np.dtype(np.uint8) if tensor.format.is_quantized else np.dtype(np.float32),
                tensor.nbytes,
                raw_dtype=gguf.GGMLQuantizationType(tensor.format.ggml_id),
            )
        writer.write_header_to_file(path)
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()

    def write(self, data: NDArray[np.uint8]) -> None:
        """Write the next tensor's bytes."""
        self._writer.write_tensor_data(data)

    def close(self) -> None:
        """Flush and close the file."""
        self._writer.close()


def _byte_shape(tensor: Planned) -> tuple[int, ...]:
    # The gguf package wants the shape of the bytes for quantized data.
    return (*tensor.shape[:-1], tensor.format.row_nbytes(tensor.shape[-1]))
