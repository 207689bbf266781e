"""From the tensors of a GGUF file to packed panels in memory.

The file was checked before (families/tensors.py). Each tensor is packed straight from the mapped
file, whose pages are then given back, so memory holds one copy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from halfbyte.engine.memory import empty
from halfbyte.errors import ModelFileError, UnsupportedModelError
from halfbyte.families.config import ModelConfig
from halfbyte.families.registry import family_of
from halfbyte.families.tensors import OUTPUT, ROPE_FREQS
from halfbyte.gguf.file import GGUFFile, TensorInfo
from halfbyte.kernels.formats.registry import FORMATS
from halfbyte.kernels.layouts.activations import padded
from halfbyte.kernels.layouts.packing import pack
from halfbyte.kernels.layouts.panels import PANEL_FORMATS, PanelFormat
from halfbyte.kernels.pool import Pool
from halfbyte.kernels.quantizers.quantize import dequantize

_ALIGN = 64


@dataclass(frozen=True, slots=True)
class Matrix:
    """A packed matrix of n_rows x n_inputs at an address."""

    format: PanelFormat
    n_rows: int
    n_inputs: int
    address: int

    @property
    def nbytes(self) -> int:
        """Bytes that a product reads."""
        return self.format.nbytes(self.n_rows, self.n_inputs)


@dataclass(eq=False)
class ModelWeights:
    """All weights of a model in one block of memory: `matrices` and `vectors` by GGUF name.

    Vectors (norm weights, biases) are addresses of float rows padded to 32. Rows of q and k are in
    the order in which neighbours are rotated.

    Attributes:
        rope_divisors: what the frequencies of rotary embedding are divided by, if anything.
    """

    memory: NDArray[np.uint8]
    matrices: dict[str, Matrix] = field(default_factory=dict)
    vectors: dict[str, int] = field(default_factory=dict)
    rope_divisors: NDArray[np.float64] | None = None

    @property
    def nbytes_per_token(self) -> int:
        """Bytes of matrices that decoding one token reads."""
        layers = sum(m.nbytes for name, m in self.matrices.items() if name.startswith("blk."))
        return layers + self.matrices.get(OUTPUT, self.matrices["token_embd.weight"]).nbytes


def load_weights(
    file: GGUFFile, config: ModelConfig, pool: Pool, progress: Callable[[int, int], None]
) -> ModelWeights:
    """Pack all tensors of a checked file; `progress` gets (bytes done, bytes in all)."""
    family = family_of(config)
    specs = [spec for spec in family.tensors(config) if spec.name in file.tensors]
    sizes = [packed_nbytes(file, file.tensors[spec.name]) for spec in specs]
    total = sum(sizes)
    memory = empty("weights", total + _ALIGN, np.uint8)
    weights = ModelWeights(memory)
    at = -int(memory.ctypes.data) % _ALIGN
    done = 0
    for spec, nbytes in zip(specs, sizes, strict=True):
        order = spec.neighbours() if family.rotates_halves else None
        if spec.name == ROPE_FREQS:
            weights.rope_divisors = _divisors(file)
        else:
            _pack(file, spec.name, order, pool, memory[at : at + nbytes], weights)
        file.release(spec.name)
        at += nbytes
        done += nbytes
        progress(done, total)
    return weights


def _pack(
    file: GGUFFile,
    name: str,
    order: NDArray[np.int64] | None,
    pool: Pool,
    target: NDArray[np.uint8],
    weights: ModelWeights,
) -> None:
    """Bring one tensor, its rows in the given order, into its place in memory."""
    info, address = file.tensors[name], int(target.ctypes.data)
    if not info.is_matrix:
        row, values = target.view(np.float32), _floats(file, name)
        row[:] = 0
        row[: len(values)] = values if order is None else values[order]
        weights.vectors[name] = address
        return
    n_rows, n_inputs = info.shape
    fmt = panel_format(file, info)
    rows = file.data(name).reshape(n_rows, -1)
    try:
        pack(pool, rows if order is None else rows[order], fmt, n_inputs, target)
    except ValueError as error:
        raise _not_finite(file, name) from error
    weights.matrices[name] = Matrix(fmt, n_rows, n_inputs, address)


def _divisors(file: GGUFFile) -> NDArray[np.float64]:
    values = _floats(file, ROPE_FREQS)
    if not (values > 0).all():
        raise ModelFileError(file.path, ROPE_FREQS, expected="numbers above 0", got=values.min())
    return values.astype(np.float64)


def panel_format(file: GGUFFile, info: TensorInfo) -> PanelFormat:
    """The packed form of a tensor; UnsupportedModelError if its type does not run."""
    found = PANEL_FORMATS.get(info.type_name)
    if found is None:
        raise UnsupportedModelError(
            file.path, f"{info.name}: type", expected=", ".join(PANEL_FORMATS), got=info.type_name
        )
    return found


def packed_nbytes(file: GGUFFile, info: TensorInfo) -> int:
    """Bytes of a tensor in memory; UnsupportedModelError if its type does not run."""
    if len(info.shape) == 1:
        nbytes = 4 * padded(info.shape[0])
    else:
        nbytes = panel_format(file, info).nbytes(*info.shape)
    return -(-nbytes // _ALIGN) * _ALIGN


def _floats(file: GGUFFile, name: str) -> NDArray[np.float32]:
    info = file.tensors[name]
    try:
        row = dequantize(file.data(name)[None], FORMATS[info.type_name], info.shape[0])[0]
    except (ValueError, KeyError) as error:
        raise ModelFileError(file.path, name, expected="floats", got=info.type_name) from error
    if not np.isfinite(row).all():
        raise _not_finite(file, name)
    return row


def _not_finite(file: GGUFFile, name: str) -> ModelFileError:
    return ModelFileError(
        file.path, name, expected="finite weights", got="NaN or infinity",
        hint="the file is damaged, or its weights overflowed when it was converted",
    )  # fmt: skip
