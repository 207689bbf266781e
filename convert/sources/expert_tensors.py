"""Experts' matrices of a checkpoint as one tensor each, however they are stored.

Most checkpoints have a tensor for each expert's matrix, some all experts' in one, and some gate and
up together, one behind the other, a shared expert's too. A family names the matrices of one expert,
with "{}" for its number (families/experts.py); all ways lead to that name.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from halfbyte.converting.sources.quantized.checkpoint import HFTensor
from halfbyte.converting.sources.quantized.mxfp4 import MXFP4Experts
from halfbyte.converting.sources.safetensors_file import FLOATS, StoredTensor, widened
from halfbyte.converting.sources.tensor_view import Index, TensorView
from halfbyte.errors import ConversionError
from halfbyte.families.tensors import TensorSpec
from halfbyte.kernels.formats.block_format import BlockFormat

EXPERT = "{}"
# Ends of names of one expert's matrix -> of all experts' in one tensor, and which part of it.
_FUSED = {
    ".{}.gate_proj.weight": ".gate_up_proj[0/2]",
    ".{}.up_proj.weight": ".gate_up_proj[1/2]",
    ".{}.down_proj.weight": ".down_proj[0/1]",
}
# A name with a part: "[1/2]" is the second half of each expert's rows, "~" every other one, "T" of
# the transposed.
_PART = re.compile(r"(.+)\[(\d)/(\d)(~?)(T?)\]")


class _Part(NamedTuple):
    i: int
    n: int
    interleaved: bool
    transposed: bool


def with_experts(
    path: Path, tensors: Mapping[str, HFTensor], specs: Iterable[TensorSpec]
) -> dict[str, HFTensor]:
    """The tensors with those of experts put together, under the names that the specs have.

    Raises:
        ConversionError: an expert's matrix has another shape than the first one's, or both ways
            to store it are there.
    """
    found, taken = dict(tensors), set[str]()
    for spec in specs:
        name, of_one = spec.hf_name, _names(spec)
        some = [tensors[one] for one in of_one if one in tensors]
        whole, part = _parted(_fused(name))
        if part is not None and whole in tensors:
            if some:
                got = f"{whole} and {some[0].name}"
                raise ConversionError(path, "tensors", expected="one of the two", got=got)
            is_one = spec.is_matrix and len(spec.shape) == 2
            source = tensors[whole]
            found[name] = (
                _PartOfRows(path, source, name, part) if is_one
                else _slices(path, source, name, part)
            )  # fmt: skip
            taken.add(whole)
        elif of_one and len(some) == len(of_one):
            found[name] = _Stacked(path, name, some)
            taken.update(of_one)
    return {name: tensor for name, tensor in found.items() if name not in taken}


def missing_parts(spec: TensorSpec, tensors: Mapping[str, HFTensor]) -> list[str]:
    """What is missing of a tensor that is not there, by the checkpoint's own names."""
    missing = [name for name in _names(spec) if name not in tensors]
    return missing or [_parted(spec.hf_name)[0]]


def _names(spec: TensorSpec) -> list[str]:
    """Those of each expert's matrix, where they are stored so."""
    n = spec.shape[0] if EXPERT in spec.hf_name else 0
    return [spec.hf_name.format(i) for i in range(n)]


def _fused(name: str) -> str:
    """The name that all experts' have together, where there is one."""
    for end, whole in _FUSED.items():
        if name.endswith(end):
            return name.removesuffix(end) + whole
    return name


def _parted(name: str) -> tuple[str, _Part | None]:
    found = _PART.fullmatch(name)
    if found is None:
        return name, None
    return found[1], _Part(int(found[2]), int(found[3]), bool(found[4]), bool(found[5]))


def _slices(path: Path, tensor: HFTensor, name: str, part: _Part) -> HFTensor:
    if isinstance(tensor, MXFP4Experts):
        try:
            return tensor.part(name, part.i, part.n, interleaved=part.interleaved)
        except ValueError as error:
            raise ConversionError(
                path, tensor.name, expected=str(error), got=tensor.shape
            ) from error
    if not isinstance(tensor, StoredTensor):
        raise ConversionError(
            path, tensor.name, expected="floats", got="quantized weights of all experts in one"
        )
    return _Slices(tensor, name, part)


class _Stacked:
    """Matrices of equal shape as one tensor (n, rows, inputs), whose rows are all of theirs."""

    def __init__(self, path: Path, name: str, tensors: Sequence[HFTensor]) -> None:
        self.name, self.path, self._tensors = name, path, tensors
        first = tensors[0]
        for tensor in tensors:
            if tensor.shape != first.shape or len(tensor.shape) != 2:
                raise ConversionError(
                    path, tensor.name, expected=f"the shape of {first.name}, {first.shape}",
                    got=tensor.shape,
                )  # fmt: skip
        self.shape = (len(tensors), *first.shape)
        factors: list[Any] = [getattr(tensor, "factors", None) for tensor in tensors]
        is_without = any(one is None for one in factors)
        self.factors = None if is_without else np.concatenate(factors)
        dtypes = {getattr(tensor, "dtype", FLOATS[0]) for tensor in tensors}
        # One that is not read is seen where all tensors are checked.
        self.dtype = next(iter(dtypes.difference(FLOATS)), FLOATS[0])

    @property
    def is_quantized(self) -> bool:
        """See HFTensor."""
        return any(tensor.is_quantized for tensor in self._tensors)

    @property
    def format(self) -> BlockFormat | None:
        """See HFTensor."""
        formats = {tensor.format for tensor in self._tensors}
        return formats.pop() if len(formats) == 1 else None

    def rows(self, index: Index) -> NDArray[np.float32]:
        """See HFTensor."""
        return np.concatenate([t.rows(part) for t, part in self._parts(index)])

    def stored(self, index: Index) -> NDArray[np.uint8]:
        """See HFTensor."""
        return np.concatenate([t.stored(part) for t, part in self._parts(index)])

    def prefetch(self) -> None:
        """Each is read when its rows are."""

    def release(self) -> None:
        """See HFTensor."""
        for tensor in self._tensors:
            tensor.release()

    def _parts(self, index: Index) -> list[tuple[HFTensor, slice]]:
        size = self.shape[1]
        assert isinstance(index, slice)
        begin, end, _ = index.indices(math.prod(self.shape[:-1]))
        return [
            (self._tensors[i], slice(max(begin - i * size, 0), min(end - i * size, size)))
            for i in range(begin // size, -(-end // size))
        ]


class _PartOfRows(TensorView):
    """Part `i` of `n` of the rows of a matrix."""

    def __init__(self, path: Path, tensor: HFTensor, name: str, part: _Part) -> None:
        self.factors = getattr(tensor, "factors", None)
        n_rows, *inputs = tensor.shape or (0,)
        if len(inputs) != 1 or n_rows % part.n:
            expected = f"a matrix with {part.n} parts"
            raise ConversionError(path, tensor.name, expected=expected, got=tensor.shape)
        super().__init__(tensor, name, (n_rows // part.n, *inputs))
        self._first = part.i * self.shape[0]

    def rows(self, index: Index) -> NDArray[np.float32]:
        """See HFTensor."""
        return self._tensor.rows(self._of_whole(index))

    def stored(self, index: Index) -> NDArray[np.uint8]:
        """See HFTensor."""
        return self._tensor.stored(self._of_whole(index))

    def _of_whole(self, index: Index) -> Index:
        if not isinstance(index, slice):
            return index + self._first
        begin, end, _ = index.indices(self.shape[0])
        return slice(begin + self._first, end + self._first)


class _Slices:
    """Part `i` of `n` of every expert's rows of a tensor (experts, n rows, inputs), or (experts,
    n rows) of biases.

    With `interleaved` it is every n-th row; with `transposed` rows and inputs are exchanged.
    """

    is_quantized = False

    def __init__(self, tensor: StoredTensor, name: str, part: _Part) -> None:
        self.name, self.path, self.dtype = name, tensor.path, tensor.dtype
        self._tensor, self._part = tensor, part
        self._lock, self._last = threading.Lock(), (-1, np.empty(0))
        shape = list(tensor.shape)
        if part.transposed and len(shape) == 3:
            shape[1:] = shape[:0:-1]
        if len(shape) not in (2, 3) or shape[1] % part.n:
            raise ConversionError(
                tensor.path, tensor.name, expected=f"experts with {part.n} parts each",
                got=tensor.shape,
            )  # fmt: skip
        self._n_rows = shape[1]
        shape[1] //= part.n
        self.shape = tuple(shape)

    @property
    def format(self) -> BlockFormat | None:
        """See HFTensor."""
        return self._tensor.format

    def rows(self, index: Index) -> NDArray[np.float32]:
        """See HFTensor."""
        return widened(self._raw(index), self.dtype)

    def stored(self, index: Index) -> NDArray[np.uint8]:
        """See HFTensor."""
        raw = np.ascontiguousarray(self._raw(index))
        return raw.reshape(len(raw), -1).view(np.uint8)

    def prefetch(self) -> None:
        """Each expert is read when its rows are."""

    def release(self) -> None:
        """Let go of the expert that was read last."""
        self._last = (-1, np.empty(0))

    def _raw(self, index: Index) -> NDArray[Any]:
        assert isinstance(index, slice)
        if len(self.shape) == 2:
            return self._tensor.raw()[index][:, self._places()]
        size = self.shape[1]
        begin, end, _ = index.indices(self.shape[0] * size)
        parts = []
        for e in range(begin // size, -(-end // size)):
            rows = self._expert(e)[self._places()]
            parts.append(rows[max(begin - e * size, 0) : min(end - e * size, size)])
        return np.concatenate(parts)

    def _places(self) -> slice:
        """Which rows of an expert's are this part's."""
        i, n, size = self._part.i, self._part.n, self.shape[1]
        return slice(i, None, n) if self._part.interleaved else slice(i * size, (i + 1) * size)

    def _expert(self, e: int) -> NDArray[Any]:
        """All rows of an expert, read once for those who want some of them after each other."""
        with self._lock:
            if self._last[0] != e:
                raw = self._tensor.raw(e, e + 1)[0]
                self._last = (e, np.ascontiguousarray(raw.T) if self._part.transposed else raw)
            return self._last[1]
