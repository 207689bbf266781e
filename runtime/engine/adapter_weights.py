"""An adapter's factors in memory as the kernels want them, and what a step is told of them.

Beside a matrix of floats they are kept as they are. A quantized one has inputs of 8 bits and
weights of fewer: there, half precision for F32 factors, brought into its range by a power of two,
is 2**-12 of each, and half the bytes that a token reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field

import numpy as np
from numpy.typing import NDArray

from halfbyte.engine.factor_places import factor_places
from halfbyte.engine.memory import empty
from halfbyte.engine.weights import Matrix
from halfbyte.families.config import ModelConfig
from halfbyte.families.registry import family_of, stages_of
from halfbyte.families.tensors import OUTPUT
from halfbyte.kernels.compiler.jit import Kernel
from halfbyte.kernels.layouts.activations import BLOCK
from halfbyte.kernels.layouts.panels import STRIP_ROWS
from halfbyte.kernels.products.low_rank import GROUP, expand_kernel, shrink_kernel
from halfbyte.kernels.stages import adapt
from halfbyte.kernels.stages.record import FACTORS
from halfbyte.lazy_dataclass import dataclass
from halfbyte.lora.adapter import F32, Adapter, Factors, Kind

_DTYPES = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16}
_ALIGN = 64
_LARGEST, _MOST_DOUBLINGS = 65504.0, 100  # of half precision; of what would be no float else
_BEYOND_NBYTES = 4096  # that the kernels ask for ahead


@dataclass(frozen=True, slots=True, eq=False)
class AdapterWeights:
    """A packed adapter of one model; alive as long as a request of it may be computed.

    Attributes:
        digest: of what it computes (Adapter.digest).
        n_inner: floats of a row's inner products, in the stage that has most.
        nbytes: of its factors.
    """

    digest: str
    n_inner: int
    nbytes: int
    _table: NDArray[np.int64] = field(repr=False)
    _memory: NDArray[np.uint8] = field(repr=False)

    @property
    def table(self) -> int:
        """Address of its factors as the kernels read them (record.FACTORS)."""
        return int(self._table.ctypes.data)


@dataclass(frozen=True, slots=True)
class Applied:
    """An adapter as a request wants it."""

    weights: AdapterWeights
    scale: float


def adapter_kernels(
    adapter: Adapter, config: ModelConfig, matrices: Mapping[str, Matrix]
) -> list[Kernel]:
    """The kernels that an adapter of a model uses."""
    names = _in_memory(adapter, config)
    kinds = sorted({_kind_beside(adapter.kind, _matrix(matrices, name)) for name in names})
    products = [kernel(kind) for kind in kinds for kernel in (shrink_kernel, expand_kernel)]
    return [adapt.shrink, adapt.expand, *products]


def pack_adapter(
    adapter: Adapter, config: ModelConfig, matrices: Mapping[str, Matrix]
) -> AdapterWeights:
    """Bring an adapter that fits the model into memory.

    Raises:
        EngineError: there is not enough of it.
    """
    places = factor_places(config)
    table = np.zeros((len(places), len(FACTORS)), np.int64)
    n_most, nbytes = 0, 0
    parts = {
        name: _Part(one, _kind_beside(adapter.kind, _matrix(matrices, name)))
        for name, one in _in_memory(adapter, config).items()
    }
    memory = empty("an adapter", sum(p.nbytes for p in parts.values()) + _BEYOND_NBYTES, np.uint8)
    at = -int(memory.ctypes.data) % _ALIGN
    for stage in _by_stage(config, places):
        n_groups = 0
        for name in stage:
            words = {"group_at": n_groups}
            if name in parts:
                part = parts[name]
                words |= part.put(memory[at : at + part.nbytes])
                at, nbytes = at + part.nbytes, nbytes + part.nbytes
                n_groups += words["n_groups"]
            for word, value in words.items():
                table[places[name], getattr(FACTORS, word) // 8] = value
        n_most = max(n_most, n_groups)
    return AdapterWeights(adapter.digest, n_most * GROUP, nbytes, table, memory)


@dataclass(frozen=True, slots=True)
class _Part:
    """The factors of a matrix, and how they are to lie; see kernels/products/low_rank.py.

    Attributes:
        kind: the type of their numbers.
    """

    factors: Factors
    kind: Kind

    @property
    def a_shape(self) -> tuple[int, int, int, int]:
        """[groups][blocks][ranks][inputs]."""
        rank, n_inputs = self.factors.a.shape
        return -(-rank // GROUP), -(-n_inputs // BLOCK), GROUP, BLOCK

    @property
    def b_shape(self) -> tuple[int, int, int]:
        """[strips][ranks][rows]."""
        n_rows, rank = self.factors.b.shape
        return -(-n_rows // STRIP_ROWS), rank, STRIP_ROWS

    @property
    def nbytes(self) -> int:
        """Bytes of both."""
        n = int(np.prod(self.a_shape)) + int(np.prod(self.b_shape))
        return n * np.dtype(_DTYPES[self.kind]).itemsize

    def put(self, target: NDArray[np.uint8]) -> dict[str, int]:
        """Bring them into their place; the words that say so (record.FACTORS)."""
        one, n_a = self.factors, int(np.prod(self.a_shape))
        numbers = target.view(_DTYPES[self.kind])
        numbers[:] = 0
        scale, (n_groups, n_blocks, _, _) = one.scale, self.a_shape
        a, scale = self._in_range(one.a, scale)
        b, scale = self._in_range(one.b, scale)
        padded = np.zeros((n_groups * GROUP, n_blocks * BLOCK), numbers.dtype)
        padded[: a.shape[0], : a.shape[1]] = _as_kind(a, self.kind)
        in_groups = padded.reshape(n_groups, GROUP, n_blocks, BLOCK).swapaxes(1, 2)
        numbers[:n_a].reshape(self.a_shape)[:] = in_groups
        padded = np.zeros((self.b_shape[0] * STRIP_ROWS, one.rank), numbers.dtype)
        padded[: len(b)] = _as_kind(b, self.kind)
        in_strips = padded.reshape(-1, STRIP_ROWS, one.rank).swapaxes(1, 2)
        numbers[n_a:].reshape(self.b_shape)[:] = in_strips
        address = int(target.ctypes.data)
        return {
            "shrink": shrink_kernel(self.kind).address, "expand": expand_kernel(self.kind).address,
            "a": address, "b": address + n_a * numbers.itemsize, "n_blocks": n_blocks,
            "n_groups": n_groups, "rank": one.rank, "scale": int(np.float32(scale).view(np.int32)),
        }  # fmt: skip

    def _in_range(self, x: F32, scale: float) -> tuple[F32, float]:
        """Numbers and scale, of which the former fit half precision if that is their type."""
        largest = float(np.abs(x).max(initial=0))
        if self.kind != "F16" or not largest:
            return x, scale
        factor = 2.0 ** min(int(np.floor(np.log2(_LARGEST / largest))), _MOST_DOUBLINGS)
        return x * np.float32(factor), scale / factor


def _kind_beside(kind: Kind, matrix: Matrix) -> Kind:
    """The type of factors of a type beside a matrix."""
    return "F16" if kind == "F32" and matrix.format.is_quantized else kind


def _matrix(matrices: Mapping[str, Matrix], name: str) -> Matrix:
    return matrices["token_embd.weight" if name == OUTPUT and name not in matrices else name]


def _by_stage(config: ModelConfig, places: Mapping[str, int]) -> Iterator[list[str]]:
    """The names of the matrices of each stage."""
    names = iter(sorted(places, key=places.__getitem__))
    for stage in stages_of(config):
        if stage.packed:
            yield [next(names) for _ in stage.packed]


def _in_memory(adapter: Adapter, config: ModelConfig) -> dict[str, Factors]:
    """The factors of each matrix in memory, whose rows may have another order than the file's."""
    family, found = family_of(config), dict(adapter.factors)
    for spec in family.tensors(config):
        one = found.pop(spec.name, None)
        if one is None:
            continue
        order = spec.neighbours() if family.rotates_halves else None
        b, first = one.b if order is None else one.b[order], 0
        for name, n_rows in spec.parts or ((spec.name, len(b)),):
            found[name] = Factors(one.a, b[first : first + n_rows], one.scale)
            first += n_rows
    return found


def _as_kind(x: F32, kind: Kind) -> NDArray[np.generic]:
    if kind == "BF16":
        return (np.ascontiguousarray(x).view(np.uint32) >> np.uint32(16)).astype(np.uint16)
    return x.astype(_DTYPES[kind])
