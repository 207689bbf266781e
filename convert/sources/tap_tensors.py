"""A checkpoint's weights of convolutions without the dimension of 1 that torch has between."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from halfbyte.converting.sources.quantized.checkpoint import HFTensor
from halfbyte.converting.sources.tensor_view import Index, TensorView
from halfbyte.families.tensors import TensorSpec


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


class _Taps(TensorView):
    """A tensor (features, 1, taps) as (features, taps)."""

    def __init__(self, tensor: HFTensor) -> None:
        super().__init__(tensor, tensor.name, (tensor.shape[0], tensor.shape[2]))

    def rows(self, index: Index) -> NDArray[np.float32]:
        """See HFTensor."""
        return self._tensor.rows(index).reshape(-1, self.shape[1])

    def stored(self, index: Index) -> NDArray[np.uint8]:
        """See HFTensor."""
        return self._tensor.stored(index)
