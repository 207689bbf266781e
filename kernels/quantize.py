"""Rows of floats to blocks and back, for every tensor type.

The bytes are those of ggml's reference quantizers, which the `gguf` package repeats and the tests
compare with. This is the arithmetic of files; the int8 activations are made in activations.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .formats import BF16, F16, F32, Q4_0, Q4_1, Q8_0, BlockFormat

_Floats = NDArray[np.float32]
_Blocks = NDArray[np.void]


def quantize(x: NDArray[np.float32], fmt: BlockFormat) -> NDArray[np.uint8]:
    """Rows of floats as the bytes of a tensor type.

    Args:
        x: float32 (rows, n), n a multiple of the block size.
        fmt: the tensor type.

    Returns:
        uint8 (rows, fmt.row_nbytes(n)).

    Raises:
        ValueError: n does not fit, a number is NaN or infinite, or one is too large for the type.
    """
    rows, n = x.shape
    nbytes = fmt.row_nbytes(n)
    if not np.isfinite(x).all():
        raise ValueError("NaN or infinite weights")
    blocks = np.ascontiguousarray(x, np.float32).reshape(-1, fmt.block_size)
    out = np.empty(len(blocks), fmt.dtype)
    with np.errstate(over="ignore", divide="ignore"):
        _QUANTIZE[fmt.name](blocks, out)
    for name in ("d", "m", "w"):
        if name in (fmt.dtype.names or ()) and out.dtype[name].kind == "f":
            if not np.isfinite(out[name]).all():
                raise ValueError(f"a weight is too large for {fmt.name}")
    return out.view(np.uint8).reshape(rows, nbytes)


def dequantize(data: NDArray[np.uint8], fmt: BlockFormat, n: int) -> NDArray[np.float32]:
    """The floats that a tensor's bytes stand for.

    Args:
        data: uint8 (rows, fmt.row_nbytes(n)).
        fmt: the tensor type.
        n: weights per row.

    Returns:
        float32 (rows, n).

    Raises:
        ValueError: the row length and the bytes do not agree.
    """
    if data.ndim != 2 or data.shape[1] != fmt.row_nbytes(n):
        raise ValueError(f"rows of {data.shape[1:]} bytes are not {n} weights of {fmt.name}")
    blocks = np.ascontiguousarray(data).view(fmt.dtype).reshape(-1)
    return _DEQUANTIZE[fmt.name](blocks).reshape(len(data), n)


def _inverse(d: _Floats) -> _Floats:
    """1 / d, and 0 for blocks whose scale is zero or too small to have an inverse."""
    inverse = np.float32(1) / d
    inverse[~np.isfinite(inverse)] = 0
    return inverse


def _pack_nibbles(q: _Floats) -> NDArray[np.uint8]:
    codes = np.minimum(q.astype(np.uint8), 15)
    return codes[:, :16] | (codes[:, 16:] << np.uint8(4))


def _unpack_nibbles(qs: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.concatenate([qs & np.uint8(15), qs >> np.uint8(4)], axis=1)


def _quantize_f32(x: _Floats, out: _Blocks) -> None:
    out["w"] = x[:, 0]


def _quantize_bf16(x: _Floats, out: _Blocks) -> None:
    bits = x[:, 0].view(np.uint32).astype(np.uint64)
    out["w"] = (bits + 0x7FFF + ((bits >> np.uint64(16)) & np.uint64(1))) >> np.uint64(16)


def _quantize_q4_0(x: _Floats, out: _Blocks) -> None:
    # The weight of largest magnitude, with its sign, becomes code 0, which is -8.
    largest = np.take_along_axis(x, np.abs(x).argmax(axis=1, keepdims=True), axis=1)
    d = largest / np.float32(-8)
    out["d"] = d[:, 0]
    out["qs"] = _pack_nibbles(np.trunc(x * _inverse(d) + np.float32(8.5)))


def _quantize_q4_1(x: _Floats, out: _Blocks) -> None:
    low = x.min(axis=1, keepdims=True)
    d = (x.max(axis=1, keepdims=True) - low) / np.float32(15)
    out["d"], out["m"] = d[:, 0], low[:, 0]
    out["qs"] = _pack_nibbles(np.trunc((x - low) * _inverse(d) + np.float32(0.5)))


def _quantize_q8_0(x: _Floats, out: _Blocks) -> None:
    d = np.abs(x).max(axis=1, keepdims=True) / np.float32(127)
    scaled = x * _inverse(d)
    magnitude = np.abs(scaled)
    whole = np.floor(magnitude)
    whole += np.floor(np.float32(2) * (magnitude - whole))  # half away from zero
    out["d"] = d[:, 0]
    out["qs"] = np.copysign(whole, scaled)


def _dequantize_bf16(blocks: _Blocks) -> _Floats:
    return (blocks["w"].astype(np.uint32) << np.uint32(16)).view(np.float32)


def _dequantize_q4_0(blocks: _Blocks) -> _Floats:
    codes = _unpack_nibbles(blocks["qs"]).astype(np.int8) - np.int8(8)
    return blocks["d"].astype(np.float32)[:, None] * codes.astype(np.float32)


def _dequantize_q4_1(blocks: _Blocks) -> _Floats:
    codes = _unpack_nibbles(blocks["qs"]).astype(np.float32)
    d, m = (blocks[k].astype(np.float32)[:, None] for k in ("d", "m"))
    return d * codes + m


def _dequantize_q8_0(blocks: _Blocks) -> _Floats:
    return blocks["d"].astype(np.float32)[:, None] * blocks["qs"].astype(np.float32)


_QUANTIZE: dict[str, Callable[[_Floats, _Blocks], None]] = {
    F32.name: _quantize_f32,
    F16.name: _quantize_f32,
    BF16.name: _quantize_bf16,
    Q4_0.name: _quantize_q4_0,
    Q4_1.name: _quantize_q4_1,
    Q8_0.name: _quantize_q8_0,
}
_DEQUANTIZE: dict[str, Callable[[_Blocks], Any]] = {
    F32.name: lambda blocks: blocks["w"].astype(np.float32),
    F16.name: lambda blocks: blocks["w"].astype(np.float32),
    BF16.name: _dequantize_bf16,
    Q4_0.name: _dequantize_q4_0,
    Q4_1.name: _dequantize_q4_1,
    Q8_0.name: _dequantize_q8_0,
}
