"""An adapter's factors in memory as the kernels want them, and what a step is told of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from halfbyte.engine.factor_places import factor_places
from halfbyte.engine.memory import zeros
from halfbyte.families.config import ModelConfig
from halfbyte.families.registry import family_of
from halfbyte.kernels.compiler.jit import Kernel
from halfbyte.kernels.layouts.activations import BLOCK, padded
from halfbyte.kernels.layouts.panels import ROWS, n_panels
from halfbyte.kernels.products.low_rank import GROUP, expand_kernel, shrink_kernel
from halfbyte.kernels.stages.record import ADAPTER, FACTORS
from halfbyte.lora.adapter import Adapter, Factors

_DTYPES = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16}


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
    _memory: list[NDArray[np.generic]] = field(repr=False)

    @property
    def table(self) -> int:
        """Address of what the kernels read (record.ADAPTER, then record.FACTORS)."""
        return int(self._table.ctypes.data)


@dataclass(frozen=True, slots=True)
class Applied:
    """An adapter as a request wants it."""

    weights: AdapterWeights
    scale: float


def adapter_kernels(kind: str) -> list[Kernel]:
    """The kernels that an adapter of a type uses."""
    return [shrink_kernel(kind), expand_kernel(kind)]


def pack_adapter(adapter: Adapter, config: ModelConfig) -> AdapterWeights:
    """Bring an adapter that fits the model into memory.

    Raises:
        EngineError: there is not enough of it.
    """
    shrink, expand = adapter_kernels(adapter.kind)
    places = factor_places(config)
    table = np.zeros(len(ADAPTER) + len(places) * len(FACTORS), np.int64)
    table[ADAPTER.shrink // 8], table[ADAPTER.expand // 8] = shrink.address, expand.address
    rows = table[len(ADAPTER) :].reshape(len(places), len(FACTORS))
    orders, memory, n_most = _orders(config), list[NDArray[np.generic]](), 0
    for stage in _by_stage(config, places):
        n_groups = 0
        for name in stage:
            one = adapter.factors.get(name)
            words = {"group_at": n_groups}
            if one is not None:
                a, b = _packed(one, adapter.kind, orders.get(name))
                memory += [a, b]
                words |= {
                    "a": a.ctypes.data, "b": b.ctypes.data, "n_blocks": a.shape[1] // BLOCK,
                    "n_groups": len(a) // GROUP, "rank": one.rank,
                    "scale": int(np.float32(one.scale).view(np.int32)),
                }  # fmt: skip
            for word, value in words.items():
                rows[places[name], getattr(FACTORS, word) // 8] = value
            n_groups += words.get("n_groups", 0)
        n_most = max(n_most, n_groups)
    nbytes = sum(array.nbytes for array in memory)
    return AdapterWeights(adapter.digest, n_most * GROUP, nbytes, table, memory)


def _by_stage(config: ModelConfig, places: Mapping[str, int]) -> Iterable[list[str]]:
    """The names of the matrices of each stage."""
    names = iter(sorted(places, key=places.__getitem__))
    for stage in family_of(config).stages(config):
        if stage.matrices:
            yield [next(names) for _ in stage.matrices]


def _orders(config: ModelConfig) -> dict[str, NDArray[np.int64]]:
    """The order of rows in memory, of matrices where it is another than the file's."""
    family = family_of(config)
    found = {spec.name: spec.neighbours() for spec in family.tensors(config)}
    return {n: order for n, order in found.items() if order is not None and family.rotates_halves}


def _packed(
    one: Factors, kind: str, order: NDArray[np.int64] | None
) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    """A in rows, and B in panels; see kernels/products/low_rank.py."""
    (rank, n_inputs), n_rows = one.a.shape, len(one.b)
    a = zeros("an adapter", (-(-rank // GROUP) * GROUP, padded(n_inputs)), _DTYPES[kind])
    a[:rank, :n_inputs] = _as_kind(one.a, kind)
    rows = zeros("an adapter", (n_panels(n_rows) * ROWS, rank), _DTYPES[kind])
    rows[:n_rows] = _as_kind(one.b if order is None else one.b[order], kind)
    b = np.ascontiguousarray(rows.reshape(-1, ROWS, rank).swapaxes(1, 2))
    return a, b


def _as_kind(x: NDArray[np.float32], kind: str) -> NDArray[np.generic]:
    if kind == "BF16":
        return (np.ascontiguousarray(x).view(np.uint32) >> np.uint32(16)).astype(np.uint16)
    return x.astype(_DTYPES[kind])
