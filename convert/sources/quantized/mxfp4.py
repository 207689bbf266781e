"""Checkpoints in MXFP4: four-bit floats, and a power of two for 32 of them.

gpt-oss' own have all experts in one tensor, where, unlike in floats of the same name, rows lie
before inputs:

    NAME_blocks  (experts, rows, inputs / 32, 16) bytes: input 2i in the low half of byte i
    NAME_scales  (experts, rows, inputs / 32): the exponents, E8M0

compressed-tensors has a tensor for each matrix:

    weight_packed  (rows, inputs / 2) bytes in the same order
    weight_scale   (rows, inputs / 32): the exponents

GGUF's blocks hold the same codes and exponents in another order, so nothing is rounded.

Sources: transformers' integrations/mxfp4.py (convert_moe_packed_tensors); compressed-tensors,
compressors/mxfp4 and mx_utils.py.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from halfbyte.converting.sources.quantized.checkpoint import Checkpoint, HFTensor
from halfbyte.converting.sources.safetensors_file import StoredTensor
from halfbyte.kernels.formats.mxfp4 import MXFP4
from halfbyte.kernels.quantizers.quantize import dequantize

_BLOCKS, _SCALES = "_blocks", "_scales"


class MXFP4Experts:
    """Matrices of all experts: every `step`-th row of each one's, from `first` on."""

    is_quantized = True
    format = MXFP4

    def __init__(
        self, name: str, blocks: StoredTensor, scales: StoredTensor, first: int = 0, step: int = 1
    ) -> None:
        n_experts, n_rows, n_blocks = scales.shape
        self.name, self.path = name, Path(blocks.file.path)
        self.shape = (n_experts, n_rows // step, n_blocks * MXFP4.block_size)
        self._stored, self._places = (blocks, scales), (first, step)
        # Row by row, whichever expert's it is.
        n = n_experts * n_rows
        self._blocks = replace(blocks, shape=(n, n_blocks, blocks.shape[-1]))
        self._scales = replace(scales, shape=(n, n_blocks))

    def part(self, name: str, i: int, n: int, *, interleaved: bool) -> MXFP4Experts:
        """Part `i` of `n` of each expert's rows; ValueError unless these lie in turns."""
        if n == 1:
            return self
        if not interleaved or self.shape[1] % n:
            raise ValueError(f"{n} parts of {self.shape[1]} rows in turns")
        return MXFP4Experts(name, *self._stored, i, n)

    def rows(self, index: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """Some rows as float32."""
        return dequantize(self.stored(index), MXFP4, self.shape[-1])

    def stored(self, index: slice | NDArray[np.int64]) -> NDArray[np.uint8]:
        """The same as GGUF's blocks: (rows, bytes)."""
        first, step = self._places
        wanted = np.arange(math.prod(self.shape[:2]))[index] * step + first
        if not len(wanted):
            return np.empty((0, MXFP4.row_nbytes(self.shape[-1])), np.uint8)
        begin, end = int(wanted.min()), int(wanted.max()) + 1
        blocks, scales = (
            tensor.raw(begin, end)[wanted - begin] for tensor in (self._blocks, self._scales)
        )
        return _as_in_gguf(blocks, scales)

    def prefetch(self) -> None:
        """Have it read from the disk in the background."""
        for tensor in self._stored:
            tensor.prefetch()

    def release(self) -> None:
        """It keeps nothing."""


class MXFP4Matrix:
    """One matrix."""

    is_quantized = True
    format = MXFP4

    def __init__(self, name: str, codes: StoredTensor, scales: StoredTensor) -> None:
        self.name, self.path = name, Path(codes.file.path)
        self.shape = (codes.shape[0], 2 * codes.shape[1])
        self._codes, self._scales = codes, scales

    def rows(self, index: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """Some rows as float32."""
        return dequantize(self.stored(index), MXFP4, self.shape[-1])

    def stored(self, index: slice | NDArray[np.int64]) -> NDArray[np.uint8]:
        """The same as GGUF's blocks: (rows, bytes)."""
        wanted = np.arange(self.shape[0])[index]
        if not len(wanted):
            return np.empty((0, MXFP4.row_nbytes(self.shape[1])), np.uint8)
        begin, end = int(wanted.min()), int(wanted.max()) + 1
        codes, scales = (t.raw(begin, end)[wanted - begin] for t in (self._codes, self._scales))
        return _as_in_gguf(codes.reshape(*scales.shape, -1), scales)

    def prefetch(self) -> None:
        """Have it read from the disk in the background."""
        self._codes.prefetch()
        self._scales.prefetch()

    def release(self) -> None:
        """It keeps nothing."""


def _as_in_gguf(blocks: NDArray[np.uint8], scales: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Codes (rows, n, 16) and exponents (rows, n) as GGUF's blocks: (rows, bytes)."""
    out = np.empty(scales.shape, MXFP4.dtype)
    out["e"] = scales
    # Inputs 2i and 2i + 1 share a byte there, and j and j + 16 here.
    half = blocks.shape[-1] // 2
    low, high = blocks[..., :half], blocks[..., half:]
    out["qs"][..., 0::2] = low & 15 | high << 4
    out["qs"][..., 1::2] = low >> 4 | high & 0xF0
    return out.view(np.uint8).reshape(len(scales), -1)


def read_mxfp4(checkpoint: Checkpoint) -> dict[str, HFTensor]:
    """The experts' matrices by their names; takes their blocks and scales.

    Raises:
        ConversionError: blocks without scales that fit.
    """
    found: dict[str, HFTensor] = {}
    names = [name.removesuffix(_BLOCKS) for name in checkpoint.rest() if name.endswith(_BLOCKS)]
    for name in names:
        blocks = checkpoint.take(name + _BLOCKS, "U8")
        scales = checkpoint.take(name + _SCALES, "U8")
        nbytes = MXFP4.dtype["qs"].itemsize
        if len(blocks.shape) != 4 or blocks.shape[-1] != nbytes or 0 in blocks.shape:
            wanted = f"experts, rows, blocks and {nbytes} bytes"
            raise checkpoint.bad(blocks, "shape", wanted, str(blocks.shape))
        checkpoint.check_shape(scales, blocks.shape[:-1])
        found[name] = MXFP4Experts(name, blocks, scales)
    return found


def mxfp4_matrix(checkpoint: Checkpoint, module: str) -> HFTensor:
    """A module's matrix as compressed-tensors has it; takes its codes and scales.

    Raises:
        ConversionError: tensors are missing or do not fit together.
    """
    packed = checkpoint.take(f"{module}.weight_packed", "U8")
    n_rows, n_bytes = checkpoint.matrix(packed)
    scales = checkpoint.take(f"{module}.weight_scale", "U8")
    size = MXFP4.block_size
    if 2 * n_bytes % size:
        raise checkpoint.bad(packed, "shape", f"groups of {size} inputs", str(packed.shape))
    checkpoint.check_shape(scales, (n_rows, 2 * n_bytes // size))
    return MXFP4Matrix(f"{module}.weight", packed, scales)
