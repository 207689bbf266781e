"""Rows of floats to blocks and back, for every tensor type.

Without importance, the bytes of the small types are those of ggml's reference quantizers, which
the `gguf` package repeats; the K types have a search of their own (quantize_k.py). This is the
arithmetic of files; the int8 activations are made in activations.py. A block depends on nothing
but its inputs and their importance: not on threads, neighbours or the instruction set.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
from numpy.typing import NDArray

from halfbyte.kernels.compiler.jit import Kernel
from halfbyte.kernels.formats.block_format import BlockFormat
from halfbyte.kernels.formats.codebook import (
    IQ1_M,
    IQ1_S,
    IQ2_S,
    IQ2_XS,
    IQ2_XXS,
    IQ3_S,
    IQ3_XXS,
)
from halfbyte.kernels.formats.floats import BF16, F16
from halfbyte.kernels.formats.nvfp4 import NVFP4
from halfbyte.kernels.formats.ternary import Q1_0, Q2_0, TQ1_0, TQ2_0
from halfbyte.kernels.formats.unfolding import book_address
from halfbyte.kernels.quantizers import quantize_k, quantize_mxfp4, quantize_small
from halfbyte.kernels.quantizers.dequantize import dequantizer, widener
from halfbyte.kernels.quantizers.quantize_k import k_quantizer
from halfbyte.kernels.quantizers.quantize_mxfp4 import mxfp4_quantizer
from halfbyte.kernels.quantizers.quantize_small import small_quantizer, table_quantizer
from halfbyte.kernels.quantizers.quantize_ternary import ternary_quantizer

_Floats = NDArray[np.float32]
_Bytes = NDArray[np.uint8]

_SCRATCH_NBYTES = max(
    module.SCRATCH_NBYTES for module in (quantize_k, quantize_mxfp4, quantize_small)
)
# Types of files that others make: what would be lost is for a search through a codebook to say.
READ_ONLY = (NVFP4, IQ3_S, IQ3_XXS, IQ2_S, IQ2_XS, IQ2_XXS, IQ1_M, IQ1_S)
_SHARE = 1 << 18  # weights that a thread takes at a time: they stay in its cache
_TOO_LARGE = 1e9  # more than any type holds, and the searches still compute with it


@cache
def quantizer(fmt: BlockFormat) -> Kernel:
    """The kernel that makes blocks of a quantized type.

    Arguments: addresses of the floats of whole blocks, of the importance of a row's inputs (or 0),
    of the blocks to write; how many; how many a row has; scratch.
    """
    if fmt.is_power:
        function = mxfp4_quantizer()
    elif fmt in (Q1_0, Q2_0, TQ1_0, TQ2_0):
        function = ternary_quantizer(fmt)
    elif fmt.scales:
        function = k_quantizer(fmt)
    else:
        function = table_quantizer(fmt) if fmt.table else small_quantizer(fmt)
    return Kernel(function, f"quantize_{fmt.name.lower()}")


def quantize(
    x: _Floats, fmt: BlockFormat, *, importance: _Floats | None = None, threads: int = 1
) -> _Bytes:
    """Rows of floats as the bytes of a tensor type.

    Args:
        x: float32 (rows, n), n a multiple of the block size.
        fmt: the tensor type.
        importance: float32 (n,), what a squared error of each input counts, at least 0; None
            counts all alike. Types without blocks have nothing to choose and ignore it.
        threads: threads that compute; the bytes do not depend on it.

    Returns:
        uint8 (rows, fmt.row_nbytes(n)).

    Raises:
        ValueError: n does not fit, a number is NaN or infinite, one is too large for the type, or
            the type is READ_ONLY.
    """
    rows, n = x.shape
    if fmt in READ_ONLY:
        raise ValueError(f"{fmt.name} is a type that is read, and not written")
    nbytes = fmt.row_nbytes(n)
    x = np.ascontiguousarray(x, np.float32)
    out = np.empty((rows, nbytes), np.uint8)
    if importance is not None:
        importance = _check_importance(importance, n)
    convert = _blocks if fmt.is_quantized else _numbers

    def work(begin: int, end: int) -> None:
        _check_range(x[begin:end], fmt)
        convert(x[begin:end], fmt, importance, out[begin:end])
        _check_finite(out[begin:end], fmt)

    _share_out(work, rows, n, threads)
    return out


def dequantize(data: _Bytes, fmt: BlockFormat, n: int, *, threads: int = 1) -> _Floats:
    """The floats that a tensor's bytes stand for.

    Args:
        data: uint8 (rows, fmt.row_nbytes(n)).
        fmt: the tensor type.
        n: weights per row.
        threads: threads that compute.

    Returns:
        float32 (rows, n).

    Raises:
        ValueError: the row length and the bytes do not agree.
    """
    if data.ndim != 2 or data.shape[1] != fmt.row_nbytes(n):
        raise ValueError(f"rows of {data.shape[1:]} bytes are not {n} weights of {fmt.name}")
    data = np.ascontiguousarray(data)
    if not fmt.is_quantized:
        words = data.view(fmt.dtype["w"])
        if fmt is BF16:
            return (words.astype(np.uint32) << np.uint32(16)).view(np.float32)
        if fmt is not F16:
            return words.astype(np.float32)
    out = np.empty((len(data), n), np.float32)
    # NumPy widens half precision one number at a time.
    kernel = widener() if fmt is F16 else dequantizer(fmt)
    rest = () if fmt is F16 else (book_address(fmt),)

    def work(begin: int, end: int) -> None:
        n_blocks = (end - begin) * n // fmt.block_size
        kernel.call(data[begin:].ctypes.data, out[begin:].ctypes.data, n_blocks, *rest)

    _share_out(work, len(data), n, threads)
    return out


def _share_out(work: Callable[[int, int], None], rows: int, n: int, threads: int) -> None:
    """Do all rows, a share at a time; errors of any share are raised."""
    step = max(1, _SHARE // n)
    shares = [(begin, min(begin + step, rows)) for begin in range(0, rows, step)]
    if threads == 1 or len(shares) == 1:
        for share in shares:
            work(*share)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(lambda share: work(*share), shares):
            pass


def _blocks(x: _Floats, fmt: BlockFormat, importance: _Floats | None, out: _Bytes) -> None:
    row_blocks = x.shape[1] // fmt.block_size
    scratch = np.empty(_SCRATCH_NBYTES, np.uint8)
    at = 0 if importance is None else importance.ctypes.data
    quantizer(fmt).call(x.ctypes.data, at, out.ctypes.data, len(x) * row_blocks, row_blocks,
                        scratch.ctypes.data)  # fmt: skip


def _numbers(x: _Floats, fmt: BlockFormat, importance: _Floats | None, out: _Bytes) -> None:
    words = out.view(fmt.dtype["w"])
    if fmt is BF16:
        bits = x.view(np.uint32)
        # Half to even; finite numbers do not overflow into the sign.
        words[:] = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> 16
    else:
        with np.errstate(over="ignore"):
            words[:] = x


def _check_range(x: _Floats, fmt: BlockFormat) -> None:
    low, high = x.min(initial=0), x.max(initial=0)
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError("NaN or infinite weights")
    if fmt.is_quantized and max(-low, high) > _TOO_LARGE:
        raise ValueError(f"a weight is too large for {fmt.name}")


def _check_finite(out: _Bytes, fmt: BlockFormat) -> None:
    """Refuse what has overflowed: scales in half precision, or the numbers themselves."""
    if fmt is BF16:
        is_finite = (out.view(np.uint16) & fmt.exponent != fmt.exponent).all()
    else:
        fields = [out.view(fmt.dtype)[k] for k in ("d", "dmin", "m", "w")
                  if k in (fmt.dtype.names or ())]  # fmt: skip
        is_finite = all(np.isfinite(field).all() for field in fields)
    if not is_finite:
        raise ValueError(f"a weight is too large for {fmt.name}")


def _check_importance(importance: _Floats, n: int) -> _Floats:
    importance = np.ascontiguousarray(importance, np.float32)
    if importance.shape != (n,) or not (importance >= 0).all() or not np.isfinite(importance).all():
        raise ValueError(f"importance: {n} finite numbers from 0 are needed")
    return importance
