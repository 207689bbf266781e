"""A checkpoint's tensors of gated delta nets as a GGUF file has them: families/delta_order.py."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from halfbyte.converting.sources.head_tensors import whole_name
from halfbyte.converting.sources.mamba_tensors import decays
from halfbyte.converting.sources.quantized.checkpoint import HFTensor
from halfbyte.converting.sources.tensor_view import Index, TensorView
from halfbyte.families.config import ModelConfig
from halfbyte.families.delta_order import DECAYS, Arrangement, arrangement
from halfbyte.families.tensors import TensorSpec
from halfbyte.kernels.formats.block_format import BlockFormat


def with_delta_nets(
    config: ModelConfig, tensors: Mapping[str, HFTensor], specs: Iterable[TensorSpec]
) -> dict[str, HFTensor]:
    """The tensors, in the order of rows and inputs that a file has; some come of one.

    One of another shape than its order is for stays, for whoever checks shapes.
    """
    found, taken = dict(tensors), set[str]()
    for spec in specs:
        name = whole_name(spec.hf_name)
        order = arrangement(config, spec.hf_name)
        is_decay = name.endswith(DECAYS) and not spec.stored  # else it is mamba_tensors.py's
        tensor = tensors.get(name)
        if tensor is None or not (is_decay or _changes(order)) or not _fits(tensor, order):
            continue
        found[spec.hf_name] = _Arranged(tensor, spec.hf_name, order, is_decay=is_decay)
        if name != spec.hf_name:
            taken.add(name)
    return {name: tensor for name, tensor in found.items() if name not in taken}


def _changes(order: Arrangement) -> bool:
    return order.rows is not None or order.inputs is not None


def _fits(tensor: HFTensor, order: Arrangement) -> bool:
    """Whether a tensor has all rows and inputs that are asked for."""
    shape = tensor.shape
    rows = order.rows is None or (bool(shape) and int(order.rows.max()) < shape[0])
    return rows and (order.inputs is None or len(order.inputs) == shape[-1])


class _Arranged(TensorView):
    """A tensor's rows and inputs in another order; where it `is_decay`, minus e ** each number."""

    def __init__(self, tensor: HFTensor, name: str, order: Arrangement, *, is_decay: bool) -> None:
        self._order, self._is_decay = order, is_decay
        rows = tensor.shape[0] if order.rows is None else len(order.rows)
        super().__init__(tensor, name, (rows, *tensor.shape[1:]))

    @property
    def format(self) -> BlockFormat | None:
        """See HFTensor; blocks are not cut."""
        fmt = self._tensor.format
        is_cut = self._order.inputs is not None and fmt is not None and fmt.is_quantized
        return None if is_cut or self._is_decay else fmt

    def rows(self, index: Index) -> NDArray[np.float32]:
        """See HFTensor."""
        rows, inputs = self._tensor.rows(self._of(index)), self._order.inputs
        rows = rows if inputs is None else np.ascontiguousarray(rows[:, inputs])
        return decays(rows) if self._is_decay else rows

    def stored(self, index: Index) -> NDArray[np.uint8]:
        """See HFTensor."""
        stored, inputs = self._tensor.stored(self._of(index)), self._order.inputs
        if inputs is None:
            return stored
        numbers = stored.reshape(len(stored), len(inputs), -1)[:, inputs]
        return np.ascontiguousarray(numbers).reshape(len(stored), -1)

    def _of(self, index: Index) -> Index:
        return index if self._order.rows is None else self._order.rows[index]
