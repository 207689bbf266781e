"""attn_kv_b of older files in memory: two matrices for each head that it has the rows of.

What values are made by are rows of it, and stay as they are. What queries are multiplied by is the
transpose of the others, whose blocks would lie across it: these become half-precision floats, which
hold the weights of every quantized type to a part in two thousand.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from halfbyte.families.latent import K_B, KV_B, V_B
from halfbyte.families.tensors import TensorSpec
from halfbyte.kernels.layouts.packing import pack
from halfbyte.kernels.layouts.panels import PANEL_FORMATS, PanelFormat
from halfbyte.kernels.pool import Pool
from halfbyte.kernels.quantizers.quantize import dequantize, quantize

U8 = NDArray[np.uint8]


def transposed_format(fmt: PanelFormat) -> PanelFormat:
    """What the transposed part of a matrix has."""
    return PANEL_FORMATS["F16"] if fmt.is_quantized else fmt


def cut_nbytes(fmt: PanelFormat, spec: TensorSpec) -> int:
    """Bytes of both in memory."""
    return sum(spec.heads[0] * one.nbytes(*shape) for one, shape in _parts(fmt, spec).values())


def cut(
    data: U8, fmt: PanelFormat, spec: TensorSpec, pool: Pool, target: U8, factor: float = 1.0
) -> dict[str, tuple[PanelFormat, tuple[int, int], int]]:
    """Pack a tensor's bytes, whose weights are multiplied by `factor`, into `target`.

    Returns (format, shape, address) of the first matrix by name.

    Raises:
        ValueError: a weight is NaN or infinite.
    """
    n, nope_dim, _ = spec.heads
    rank, row_nbytes = spec.shape[1], fmt.source.row_nbytes(spec.shape[1])
    heads = data.reshape(n, -1, row_nbytes)
    found = {}
    rows: dict[str, Callable[[int], U8]] = {
        K_B: lambda head: _transposed(heads[head, :nope_dim], fmt, rank, factor),
        V_B: lambda head: heads[head, nope_dim:],
    }
    for name, (one, shape) in _parts(fmt, spec).items():
        nbytes = one.nbytes(*shape)
        for head in range(n):
            part = target[head * nbytes : (head + 1) * nbytes]
            pack(pool, np.ascontiguousarray(rows[name](head)), one, shape[1], part, factor)
        found[spec.name.replace(KV_B, name)] = (one, shape, int(target.ctypes.data))
        target = target[n * nbytes :]
    return found


def _parts(fmt: PanelFormat, spec: TensorSpec) -> dict[str, tuple[PanelFormat, tuple[int, int]]]:
    """The format and shape of each head's matrices."""
    (_, nope_dim, value_dim), rank = spec.heads, spec.shape[1]
    return {K_B: (transposed_format(fmt), (rank, nope_dim)), V_B: (fmt, (value_dim, rank))}


def _transposed(rows: U8, fmt: PanelFormat, n: int, factor: float) -> U8:
    """Rows of n inputs as those of the transposed matrix."""
    floats = dequantize(np.ascontiguousarray(rows), fmt.source, n) * np.float32(factor)
    return quantize(np.ascontiguousarray(floats.T), transposed_format(fmt).source)
