"""From the tensors of a GGUF file to packed panels in memory.

The file was checked before (families/tensors.py). Matrices are read in pieces by the threads that
pack them, so memory holds one copy and a piece for each thread.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import field

import numpy as np
from numpy.typing import NDArray

from halfbyte.engine.arithmetic import record_nbytes
from halfbyte.engine.fused_latents import cut
from halfbyte.engine.rooms import Bytes, Rooms, matrices_of, panel_format
from halfbyte.engine.row_table import RowTable
from halfbyte.errors import ModelFileError
from halfbyte.families.config import ModelConfig
from halfbyte.families.per_layer import TABLE
from halfbyte.families.registry import family_of
from halfbyte.families.stages import SINKS
from halfbyte.families.tensors import OUTPUT, ROPE_FACTORS, TensorSpec
from halfbyte.gguf.factors import matrix_factors
from halfbyte.gguf.file import GGUFFile
from halfbyte.gguf.tensor_table import TensorInfo
from halfbyte.kernels.formats.registry import FORMATS
from halfbyte.kernels.layouts.activations import padded
from halfbyte.kernels.layouts.packing import Packing, pack_all
from halfbyte.kernels.layouts.panel_packing import NOT_FINITE, NOT_READ
from halfbyte.kernels.layouts.panels import PanelFormat
from halfbyte.kernels.pool import Pool
from halfbyte.kernels.quantizers.quantize import dequantize
from halfbyte.lazy_dataclass import dataclass

# Packed at a time: after so much somebody may be told of it, or give up.
GROUP_NBYTES = 128 << 20


@dataclass(frozen=True, slots=True)
class Matrix:
    """A packed matrix of n_rows x n_inputs at an address; or the first ones of `of_rows` rows.

    `arithmetic` is how it is multiplied (arithmetic.py).
    """

    format: PanelFormat
    n_rows: int
    n_inputs: int
    address: int
    of_rows: int = 0
    arithmetic: str = "int8"

    @property
    def nbytes(self) -> int:
        """Bytes that a product reads."""
        return self.format.nbytes(self.n_rows, self.n_inputs)

    @property
    def record_nbytes(self) -> int:
        """How long the records are that it takes; 0: it takes floats."""
        return record_nbytes(self.format, self.arithmetic)


@dataclass(frozen=True, slots=True)
class Experts:
    """Packed matrices of equal shape, one after the other: `first` and those behind it.

    Attributes:
        n: how many.
        n_used: how many of them a token is multiplied by.
    """

    first: Matrix
    n: int
    n_used: int

    @property
    def format(self) -> PanelFormat:
        """Of each."""
        return self.first.format

    @property
    def nbytes(self) -> int:
        """Of all."""
        return self.n * self.first.nbytes


# A tensor, and matrices of it that are to be packed.
_Wanted = tuple[TensorInfo, Packing]


@dataclass(eq=False)
class ModelWeights:
    """All weights of a model in one block of memory by GGUF name.

    `matrices`, those of `experts`, and `vectors`.

    Vectors (norm weights, biases) are addresses of float rows padded to 32. Rows of q and k are in
    the order in which neighbours are rotated.

    Attributes:
        on_disk: experts' matrices, where memory cannot hold them.
        arithmetic: of all products.
        table: what stays in the file of embeddings that layers have of their own, if they have.
        rope_factors: what the frequencies of rotary embedding are divided by, by GGUF name.
    """

    memory: Bytes
    on_disk: Bytes = field(default_factory=lambda: np.empty(0, np.uint8))
    matrices: dict[str, Matrix] = field(default_factory=dict)
    experts: dict[str, Experts] = field(default_factory=dict)
    vectors: dict[str, int] = field(default_factory=dict)
    rope_factors: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    table: RowTable | None = None
    arithmetic: str = "int8"

    @property
    def nbytes_per_token(self) -> int:
        """Bytes of matrices that decoding one token reads."""
        layers = sum(m.nbytes for name, m in self.matrices.items() if name.startswith("blk."))
        layers += sum(e.n_used * e.first.nbytes for e in self.experts.values())
        return layers + self.matrices.get(OUTPUT, self.matrices["token_embd.weight"]).nbytes

    def sinks(self, layer: int, n_heads: int) -> NDArray[np.float64]:
        """A layer's attention sinks, (n_heads, 1, 1); minus infinity where it has none."""
        address = self.vectors.get(f"blk.{layer}.{SINKS}.weight", 0)
        if not address:
            return np.full((n_heads, 1, 1), -np.inf)
        floats = (ctypes.c_float * n_heads).from_address(address)
        return np.array(floats, np.float64).reshape(-1, 1, 1)


def load_weights(
    file: GGUFFile,
    config: ModelConfig,
    rooms: Rooms,
    pool: Pool,
    progress: Callable[[int, int], None],
    arithmetic: str = "int8",
) -> ModelWeights:
    """Pack all tensors of a checked file into its `weights_memory`.

    `progress` gets (bytes done, bytes in all); `arithmetic` is that of their products.

    Raises:
        ModelFileError: a weight is NaN or infinite, or the file was cut short meanwhile.
    """
    family = family_of(config)
    weights = ModelWeights(rooms.memory, rooms.experts, arithmetic=arithmetic)
    matrices = list[_Wanted]()
    if config.per_layer_dim:
        weights.table = RowTable(file, f"{TABLE}.weight")
    for spec, target in rooms.parts():
        order = spec.neighbours() if family.rotates_halves else None
        if spec.heads:
            weights.experts |= _put_heads(file, spec, pool, target, arithmetic)
        elif spec.is_matrix:
            found, wanted = _put_matrices(file, spec, order, target, arithmetic)
            matrices += wanted
            for name, matrix in found.items():
                if len(spec.shape) > 2:
                    weights.experts[name] = Experts(matrix, spec.shape[0], n_used(config, name))
                else:
                    weights.matrices[name] = matrix
        elif spec.name in ROPE_FACTORS:
            weights.rope_factors[spec.name] = _divisors(file, spec.name)
        else:
            weights.vectors[spec.name] = _put_vectors(file, spec, order, target)
    total = sum(rooms.sizes.values())
    done = total - sum(packing.out.nbytes for _, packing in matrices)
    progress(done, total)
    for group in _groups(matrices):
        _pack(group, pool, lets_go=rooms.lets_go)
        done += sum(packing.out.nbytes for _, packing in group)
        progress(done, total)
    return weights


def n_used(config: ModelConfig, name: str) -> int:
    """How many matrices of a tensor a token is multiplied by: its experts', or all heads'."""
    if config.experts is None or "_exps" not in name:
        return config.n_heads
    return config.experts.n_used


def _put_matrices(
    file: GGUFFile, spec: TensorSpec, order: NDArray[np.int64] | None, target: Bytes,
    arithmetic: str,
) -> tuple[dict[str, Matrix], list[_Wanted]]:  # fmt: skip
    """Where a tensor's matrices will lie, the first ones of many, and what has to be packed."""
    info, (*n, n_all, n_inputs) = file.tensors[spec.name], spec.shape
    fmt, first, factors = panel_format(file, info), 0, matrix_factors(file, info)
    made, wanted = dict[str, Matrix](), list[_Wanted]()
    for name, n_rows in matrices_of(spec):
        at = int(target.ctypes.data)
        made[name] = matrix = Matrix(fmt, n_rows, n_inputs, at, arithmetic=arithmetic)
        nbytes = math.prod(n) * matrix.nbytes
        rows, offset = None, info.offset
        if order is None:
            offset += first * fmt.source.row_nbytes(n_inputs)
        else:
            rows = order[first : first + n_rows]
        packing = Packing(fmt, n_rows, n_inputs, target[:nbytes], offset, info.file.descriptor,
                          n_all, factors, rows)  # fmt: skip
        wanted.append((info, packing))
        first += n_rows
        target = target[nbytes:]
    return made, wanted


def _put_heads(
    file: GGUFFile, spec: TensorSpec, pool: Pool, target: Bytes, arithmetic: str
) -> dict[str, Experts]:
    """Bring a tensor that is cut into matrices of heads into its place in memory."""
    info, n = file.tensors[spec.name], spec.heads[0]
    fmt, data, (factor,) = (
        panel_format(file, info),
        file.data(spec.name),
        matrix_factors(file, info),
    )
    try:
        made = cut(data, fmt, spec, pool, target, float(factor))
    except ValueError as error:
        raise _not_finite(info) from error
    return {name: Experts(Matrix(fmt, *shape, address, arithmetic=arithmetic), n, n)
            for name, (fmt, shape, address) in made.items()}  # fmt: skip


def _groups(wanted: Sequence[_Wanted]) -> Iterator[list[_Wanted]]:
    """What is packed at a time."""
    group, nbytes = list[_Wanted](), 0
    for info, packing in wanted:
        group.append((info, packing))
        nbytes += packing.out.nbytes
        if nbytes >= GROUP_NBYTES:
            yield group
            group, nbytes = [], 0
    if group:
        yield group


def _pack(group: Sequence[_Wanted], pool: Pool, *, lets_go: bool) -> None:
    """Pack matrices; with `lets_go` the system keeps no copy of what was read."""
    faults = pack_all(pool, [packing for _, packing in group])
    for (info, packing), fault in zip(group, faults, strict=True):
        if fault == NOT_READ:  # the reader can say why, or needs another way
            for part in packing.read_first(info.file.read):
                fault = max(fault % NOT_READ, *pack_all(pool, [part]))
        if fault == NOT_FINITE:
            raise _not_finite(info)
        if lets_go:
            info.file.let_go(info.offset, info.offset + info.nbytes)


def _put_vectors(
    file: GGUFFile, spec: TensorSpec, order: NDArray[np.int64] | None, target: Bytes
) -> int:
    """Bring a vector, one an expert or one a tap, into its place in memory; its address."""
    values = _floats(file, spec.name).reshape(-1, spec.shape[-1])
    values = values.T if spec.is_taps else values
    n = values.shape[1]
    rows = target.view(np.float32).reshape(-1, padded(n))
    rows[:] = 0
    rows[: len(values), :n] = values if order is None else values[:, order]
    return int(target.ctypes.data)


def _divisors(file: GGUFFile, name: str) -> NDArray[np.float64]:
    values = _floats(file, name)
    if not (values > 0).all():
        raise ModelFileError(file.path, name, expected="numbers above 0", got=values.min())
    return values.astype(np.float64)


def _floats(file: GGUFFile, name: str) -> NDArray[np.float32]:
    info = file.tensors[name]
    try:
        row = dequantize(file.data(name)[None], FORMATS[info.type_name], math.prod(info.shape))[0]
    except (ValueError, KeyError) as error:
        raise ModelFileError(file.path, name, expected="floats", got=info.type_name) from error
    if not np.isfinite(row).all():
        raise _not_finite(info)
    return row


def _not_finite(info: TensorInfo) -> ModelFileError:
    return ModelFileError(
        info.file.path, info.name, expected="finite weights", got="NaN or infinity",
        hint="the file is damaged, or its weights overflowed when it was converted",
    )  # fmt: skip
