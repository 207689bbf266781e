"""The tensors of a source: of a checkpoint, of a GGUF file, or made of a configuration."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from halfbyte.converting.sources.quantized.checkpoint import HFTensor
from halfbyte.families.config import ModelConfig
from halfbyte.gguf.factors import matrix_factors
from halfbyte.gguf.file import GGUFFile
from halfbyte.gguf.tensor_table import TensorInfo
from halfbyte.kernels.formats.block_format import BlockFormat
from halfbyte.kernels.quantizers.quantize import dequantize
from halfbyte.quality.layer_source import F32


class Tensor(ABC):
    """A tensor of a source; rows of a vector are its numbers.

    Attributes:
        shape: (rows, inputs) or (features,); of experts with as many in front, all of whose rows
            are rows.
        where: file and name, for errors.
        is_quantized: whether its numbers have been rounded already.
        factors: what the numbers of each of its matrices are more than `stored` says: a tensor of
            its own in a file; None: nothing.
    """

    factors: F32 | None = None

    def __init__(
        self,
        name: str,
        shape: tuple[int, ...],
        where: tuple[Path | str, str],
        is_quantized: bool = False,
    ) -> None:
        self.name, self.shape, self.where, self.is_quantized = name, shape, where, is_quantized

    @property
    def format(self) -> BlockFormat | None:
        """The type of GGUF that holds it without rounding, if there is one."""
        return None

    @abstractmethod
    def rows(self, begin: int, end: int) -> F32:
        """Some rows, float32."""

    def stored(self, begin: int, end: int) -> NDArray[np.uint8]:
        """Some rows as bytes of `format`: (rows, bytes); ValueError where it is None."""
        raise ValueError(f"{self.name}: no type holds it without rounding")

    @abstractmethod
    def prefetch(self) -> None:
        """Have it read from the disk in the background."""

    @abstractmethod
    def release(self) -> None:
        """Give back the memory that it took."""


class FolderTensor(Tensor):
    """A tensor of a checkpoint; `order` are its rows in GGUF's order, if changed.

    Its numbers grow by `adds`: some families' norms multiply by 1 more than what they have stored.
    """

    def __init__(
        self, name: str, tensor: HFTensor, order: NDArray[np.int64] | None, adds: float
    ) -> None:
        super().__init__(name, tensor.shape, (tensor.path, tensor.name), tensor.is_quantized)
        self._tensor, self._order, self._adds = tensor, order, np.float32(adds)
        self.factors = getattr(tensor, "factors", None)

    @property
    def format(self) -> BlockFormat | None:
        return self._tensor.format

    def rows(self, begin: int, end: int) -> F32:
        rows = self._tensor.rows(self._index(begin, end))
        return rows + self._adds if self._adds else rows

    def stored(self, begin: int, end: int) -> NDArray[np.uint8]:
        return self._tensor.stored(self._index(begin, end))

    def prefetch(self) -> None:
        self._tensor.prefetch()

    def release(self) -> None:
        self._tensor.release()

    def _index(self, begin: int, end: int) -> slice | NDArray[np.int64]:
        return slice(begin, end) if self._order is None else self._order[begin:end]


class MadeTensor(Tensor):
    """A vector that follows from the configuration."""

    def __init__(self, path: Path, name: str, values: tuple[float, ...]) -> None:
        super().__init__(name, (len(values),), (path, name))
        self._values = np.array(values, np.float32)

    def rows(self, begin: int, end: int) -> F32:
        return self._values[begin:end]

    def prefetch(self) -> None:
        """Nothing lies on the disk."""

    def release(self) -> None:
        """It is small."""


class FileTensor(Tensor):
    """A tensor of a GGUF file."""

    def __init__(self, file: GGUFFile, info: TensorInfo) -> None:
        if info.format is None:
            raise ValueError(f"{info.name}: the file was not opened with strict types")
        is_quantized = info.format.is_quantized
        super().__init__(info.name, info.shape, (file.path, info.name), is_quantized)
        self._file, self._format = file, info.format
        if info.is_matrix and ((factors := matrix_factors(file, info)) != 1).any():
            self.factors = factors

    @property
    def format(self) -> BlockFormat:
        return self._format

    def rows(self, begin: int, end: int) -> F32:
        n = self.shape[-1]
        if len(self.shape) == 1:  # one row of blocks, which may be quantized too
            return dequantize(self._blocks(0, 1), self._format, n)[0, begin:end]
        values = dequantize(self._blocks(begin, end), self._format, n)
        if self.factors is not None:
            values *= self.factors.repeat(self.shape[-2])[begin:end, None]
        return values

    def stored(self, begin: int, end: int) -> NDArray[np.uint8]:
        return self._blocks(begin, end)

    def _blocks(self, begin: int, end: int) -> NDArray[np.uint8]:
        nbytes = self._format.row_nbytes(self.shape[-1])
        return self._file.data(self.name, begin * nbytes, end * nbytes).reshape(-1, nbytes)

    def prefetch(self) -> None:
        self._file.prefetch(self.name)

    def release(self) -> None:
        """It keeps nothing."""


class TensorSource:
    """The tensors of a source as whole arrays of floats."""

    def __init__(self, tensors: Iterable[Tensor], config: ModelConfig) -> None:
        self._tensors = {tensor.name: tensor for tensor in tensors}
        self.config = config

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def tensor(self, name: str) -> F32:
        """See LayerSource."""
        tensor = self._tensors[name]
        values = tensor.rows(0, math.prod(tensor.shape[:-1] or tensor.shape))
        tensor.release()
        return values.reshape(tensor.shape)

    def rows(self, name: str, ids: NDArray[np.int64]) -> F32:
        """See LayerSource."""
        tensor = self._tensors[name]
        values = np.concatenate([tensor.rows(int(i), int(i) + 1) for i in ids])
        tensor.release()
        return values
