"""A checkpoint's vectors of Mamba's layers as a GGUF file has them: as columns, or cut into groups.

Of the decays a checkpoint has logarithms.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from halfbyte.converting.sources.quantized.checkpoint import HFTensor
from halfbyte.converting.sources.tensor_view import Index, TensorView
from halfbyte.families.tensors import TensorSpec
from halfbyte.kernels.formats.block_format import BlockFormat

_LOGARITHMS = ".A_log"


def with_vectors(
    tensors: Mapping[str, HFTensor], specs: Iterable[TensorSpec]
) -> dict[str, HFTensor]:
    """The tensors, those that a file has in another shape in that."""
    found = dict(tensors)
    for spec in specs:
        tensor = found.get(spec.hf_name)
        if spec.stored and tensor is not None and tensor.shape == spec.shape:
            found[spec.hf_name] = _Shaped(tensor, spec.stored)
    return found


def decays(logarithms: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a file has of a checkpoint's logarithms: minus e to the power of them."""
    return -np.exp(logarithms.astype(np.float64)).astype(np.float32)  # the same on any machine


class _Shaped(TensorView):
    """A vector's numbers in rows; of logarithms minus e to the power of them."""

    def __init__(self, tensor: HFTensor, shape: tuple[int, ...]) -> None:
        super().__init__(tensor, tensor.name, shape)

    @property
    def format(self) -> BlockFormat | None:
        """See HFTensor; such tensors keep all of their bits."""
        return None

    def rows(self, index: Index) -> NDArray[np.float32]:
        """See HFTensor."""
        values = self._tensor.rows(slice(None)).reshape(self.shape)[index]
        return decays(values) if self.name.endswith(_LOGARITHMS) else values

    def stored(self, index: Index) -> NDArray[np.uint8]:
        """See HFTensor."""
        raise ValueError(f"{self.name}: no type holds it as it is")
