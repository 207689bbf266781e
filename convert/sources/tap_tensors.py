"""A checkpoint's weights of convolutions without the dimension of 1 that torch has between."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from halfbyte.converting.sources.quantized.checkpoint import HFTensor
from halfbyte.converting.sources.safetensors_file import FLOATS
from halfbyte.families.tensors import TensorSpec
from halfbyte.kernels.formats.block_format import BlockFormat


def with_taps(tensors: Mapping[str, HFTensor], specs: Iterable[TensorSpec]) -> dict[str, HFTensor]:
    """The tensors, those of convolutions as (features, taps), if they are any."""
    found = dict(tensors)
    for spec in specs:
        tensor = found.get(spec.hf_name)
        if (
            spec.is_taps
            and tensor is not None
            and len(tensor.shape) == 3
            and spec.fits(tensor.shape)
        ):
            found[spec.hf_name] = _Taps(tensor)
    return found


class _Taps:
    """A tensor (features, 1, taps) as (features, taps)."""

    def __init__(self, tensor: HFTensor) -> None:
        self.name, self.path = tensor.name, tensor.path
        self.dtype = getattr(tensor, "dtype", FLOATS[0])
        self.shape = (tensor.shape[0], tensor.shape[2])
        self._tensor = tensor

    @property
    def is_quantized(self) -> bool:
        """See HFTensor."""
        return self._tensor.is_quantized

    @property
    def format(self) -> BlockFormat | None:
        """See HFTensor."""
        return self._tensor.format

    def rows(self, index: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """See HFTensor."""
        return self._tensor.rows(index).reshape(-1, self.shape[1])

    def stored(self, index: slice | NDArray[np.int64]) -> NDArray[np.uint8]:
        """See HFTensor."""
        return self._tensor.stored(index)

    def prefetch(self) -> None:
        """See HFTensor."""
        self._tensor.prefetch()

    def release(self) -> None:
        """See HFTensor."""
        self._tensor.release()
