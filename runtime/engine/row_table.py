"""A table of which a step needs a few rows: it stays in the file, and is read as it is used.

What is read stays in no memory of this process; the system keeps of the file what it has room for.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from halfbyte.errors import EngineError, ModelFileError
from halfbyte.gguf.file import GGUFFile
from halfbyte.kernels.compiler.jit import Kernel
from halfbyte.kernels.formats.block_format import BlockFormat
from halfbyte.kernels.formats.floats import F16
from halfbyte.kernels.quantizers.dequantize import dequantizer, widener
from halfbyte.kernels.quantizers.quantize import dequantize


class RowTable:
    """A tensor (rows, width) of a checked file, which is kept open.

    Attributes:
        n_rows, width: its shape.
        nbytes: in the file.
    """

    def __init__(self, file: GGUFFile, name: str) -> None:
        info = file.tensors[name]
        assert info.format is not None  # of a type that runs, which was checked
        self.n_rows, self.width = info.shape
        self.nbytes, self._format, self._begin = info.nbytes, info.format, info.offset
        self._name = name
        self._row_nbytes = info.format.row_nbytes(self.width)
        self._file = info.file.again()

    def read_into(self, out: NDArray[np.float32], rows: Sequence[int]) -> None:
        """Fill float32 (len(rows), at least width) with rows of it.

        Raises:
            EngineError: the file was cut short since, or cannot be read; or a number of these rows
                is NaN or infinite, of which what they become would show nothing.
        """
        raw, nbytes = np.empty((len(rows), self._row_nbytes), np.uint8), self._row_nbytes
        begins = [self._begin + int(row) * nbytes for row in rows]
        for begin in begins[1:]:  # while the first is read
            self._file.prefetch(begin, begin + nbytes)
        try:
            for row, begin in zip(raw, begins, strict=True):
                self._file.read_into(row, begin)
        except ModelFileError as error:  # of a step, which is to end alone
            raise EngineError(str(error)) from error
        made = dequantize(raw, self._format, self.width)
        if not np.isfinite(made).all():
            wrong = next(n for n, row in zip(rows, made, strict=True) if not np.isfinite(row).all())
            raise EngineError(
                f"{self._file.path}: {self._name}, row {wrong}: NaN or infinity among its weights",
                hint="the file is damaged",
            )
        out[:, : self.width] = made


def row_kernels(fmt: BlockFormat) -> list[Kernel]:
    """What reading a table of that type takes."""
    if fmt is F16:
        return [widener()]
    return [dequantizer(fmt)] if fmt.is_quantized else []
