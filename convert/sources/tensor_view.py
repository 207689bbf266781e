"""What a checkpoint's tensor is in another form: parts of it, other shapes, other orders."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from halfbyte.converting.sources.quantized.checkpoint import HFTensor
from halfbyte.converting.sources.safetensors_file import FLOATS
from halfbyte.kernels.formats.block_format import BlockFormat

Index = slice | NDArray[np.int64]


class TensorView(ABC):
    """An HFTensor that reads another one's rows and is stored as that is, unless it says more."""

    def __init__(self, tensor: HFTensor, name: str, shape: tuple[int, ...]) -> None:
        self.name, self.path, self.shape = name, tensor.path, shape
        self.dtype = getattr(tensor, "dtype", FLOATS[0])
        self._tensor = tensor

    @property
    def is_quantized(self) -> bool:
        """See HFTensor."""
        return self._tensor.is_quantized

    @property
    def format(self) -> BlockFormat | None:
        """See HFTensor."""
        return self._tensor.format

    @abstractmethod
    def rows(self, index: Index) -> NDArray[np.float32]:
        """See HFTensor."""

    @abstractmethod
    def stored(self, index: Index) -> NDArray[np.uint8]:
        """See HFTensor."""

    def prefetch(self) -> None:
        """See HFTensor."""
        self._tensor.prefetch()

    def release(self) -> None:
        """See HFTensor."""
        self._tensor.release()
