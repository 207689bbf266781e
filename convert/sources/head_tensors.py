"""Parts of each head's rows of a checkpoint's matrix, as a tensor with a matrix for each head.

A family names such a part (families/latent.py): "NAME[0:128/256T]" are the first 128 of every 256
rows of NAME, each head's transposed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from halfbyte.converting.sources.quantized.checkpoint import HFTensor
from halfbyte.converting.sources.tensor_view import Index, TensorView
from halfbyte.errors import ConversionError
from halfbyte.families.tensors import TensorSpec
from halfbyte.kernels.formats.block_format import BlockFormat

T = TypeVar("T", np.float32, np.uint8)
_PART = re.compile(r"(.+)\[(\d+):(\d+)/(\d+)(T?)\]")


class _Part(NamedTuple):
    begin: int
    end: int
    size: int
    transposed: bool


def with_heads(
    path: Path, tensors: Mapping[str, HFTensor], specs: Iterable[TensorSpec]
) -> dict[str, HFTensor]:
    """The tensors with those cut up of which the specs name parts.

    Raises:
        ConversionError: one has another shape than its parts ask for.
    """
    found, taken = dict(tensors), set[str]()
    for spec in specs:
        name, part = _parted(spec.hf_name)
        if part is None or name not in tensors:
            continue
        n_inputs = spec.shape[1] if part.transposed else spec.shape[2]
        wanted = (spec.shape[0] * part.size, n_inputs)
        if tensors[name].shape != wanted:
            got = f"{name} is {tensors[name].shape}, not {wanted}"
            raise ConversionError(path, "tensors", expected="those of config.json", got=got)
        found[spec.hf_name] = _OfHeads(tensors[name], spec.hf_name, part)
        taken.add(name)
    return {name: tensor for name, tensor in found.items() if name not in taken}


def whole_name(name: str) -> str:
    """The tensor of which a part is named; others stay."""
    return name.partition("[")[0]


def _parted(name: str) -> tuple[str, _Part | None]:
    found = _PART.fullmatch(name)
    if found is None:
        return name, None
    begin, end, size = (int(found[i]) for i in (2, 3, 4))
    return found[1], _Part(begin, end, size, bool(found[5]))


class _OfHeads(TensorView):
    """Rows `begin` .. `end` of each head's: (heads, rows, inputs), or (heads, inputs, rows)."""

    def __init__(self, tensor: HFTensor, name: str, part: _Part) -> None:
        self._part = part
        n_rows, n_inputs = part.end - part.begin, tensor.shape[1]
        inner = (n_inputs, n_rows) if part.transposed else (n_rows, n_inputs)
        super().__init__(tensor, name, (tensor.shape[0] // part.size, *inner))

    @property
    def format(self) -> BlockFormat | None:
        """See HFTensor; blocks cannot be transposed, and have no factor here."""
        fmt = self._tensor.format
        if fmt is None or not fmt.is_quantized:
            return fmt
        has_factors = getattr(self._tensor, "factors", None) is not None
        return None if self._part.transposed or has_factors else fmt

    def rows(self, index: Index) -> NDArray[np.float32]:
        """See HFTensor."""
        return np.concatenate(list(self._heads(index, self._tensor.rows)))

    def stored(self, index: Index) -> NDArray[np.uint8]:
        """See HFTensor."""
        return np.concatenate(list(self._heads(index, self._tensor.stored)))

    def _heads(self, index: Index, read: Callable[[slice], NDArray[T]]) -> Iterator[NDArray[T]]:
        """Some of all heads' rows, of floats or of bytes, head by head."""
        assert isinstance(index, slice)
        part, size = self._part, self.shape[1]
        begin, end, _ = index.indices(self.shape[0] * size)
        for head in range(begin // size, -(-end // size)):
            at = head * part.size
            rows = read(slice(at + part.begin, at + part.end))
            if part.transposed:  # a number's bytes stay together
                numbers = rows.reshape(len(rows), size, -1).swapaxes(0, 1)
                rows = np.ascontiguousarray(numbers).reshape(size, -1)
            yield rows[max(begin - head * size, 0) : min(end - head * size, size)]
