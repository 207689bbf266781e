"""Weights that are stored as integers with a scale and a zero point for each group of inputs.

    w[row, k] = scale[row, group(k)] * (code[row, k] - zero[row, group(k)])

GPTQ, AWQ and compressed-tensors all come to this. Scales of at most 16 bits times a difference of
at most 9 are exact in float32. Where groups hold whole blocks, the same numbers are blocks of GGUF.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from halfbyte.converting.sources.safetensors_file import StoredTensor
from halfbyte.kernels.formats.block_format import BlockFormat
from halfbyte.kernels.formats.small import Q4_0, Q4_1, Q8_0
from halfbyte.lazy_dataclass import dataclass

F32 = NDArray[np.float32]
Codes = NDArray[np.uint8]
Index = slice | NDArray[np.int64]

_BLOCK = 32


@dataclass(frozen=True, slots=True)
class Affine:
    """A matrix's numbers; N rows, K inputs, G groups.

    Attributes:
        codes: uint8 (N, K).
        scales: float32 (N, G).
        zeros: int16 (N, G).
        group_of: int64 (K,), the group of each input.
    """

    codes: Codes
    scales: F32
    zeros: NDArray[np.int16]
    group_of: NDArray[np.int64]

    def rows(self, index: Index) -> F32:
        """Some rows as float32."""
        q = self.codes[index].astype(np.int16)
        q -= self.zeros[index][:, self.group_of]
        out = q.astype(np.float32)
        out *= self.scales[index][:, self.group_of]
        return out

    def blocks(self, index: Index, fmt: BlockFormat) -> NDArray[np.uint8]:
        """Some rows as blocks of the type that `exact_format` gave: (rows, bytes)."""
        codes, group = self.codes[index], self.group_of[::_BLOCK]
        scales, zeros = self.scales[index][:, group], self.zeros[index][:, group]
        out = np.zeros((*scales.shape,), fmt.dtype)
        blocks = codes.reshape(*scales.shape, _BLOCK)
        out["d"] = scales
        if fmt is Q8_0:
            out["qs"] = blocks.astype(np.int16) - zeros[..., None]
        else:
            out["qs"] = blocks[..., :16] | blocks[..., 16:] << np.uint8(4)
        if fmt is Q4_1:
            out["m"] = -scales * zeros
        return out.reshape(len(codes), -1).view(np.uint8)


def exact_format(
    bits: int, scales: F32, zeros: NDArray[np.int16], group_of: NDArray[np.int64]
) -> BlockFormat | None:
    """The smallest type of GGUF whose blocks hold these weights without rounding, if one does."""
    if len(group_of) % _BLOCK or (group_of.reshape(-1, _BLOCK).T != group_of[::_BLOCK]).any():
        return None
    if not _is_half(scales):
        return None
    if bits == 4:
        if (zeros == 8).all():
            return Q4_0
        if _is_half(-scales * zeros):
            return Q4_1
    least, largest = -int(zeros.max()), (1 << bits) - 1 - int(zeros.min())
    return Q8_0 if least >= -128 and largest <= 127 else None


def _is_half(values: F32) -> bool:
    with np.errstate(over="ignore"):
        return bool((values.astype(np.float16).astype(np.float32) == values).all())


@dataclass(frozen=True, slots=True)
class Parts:
    """Where an affine matrix's numbers lie; each is called when they are needed.

    Attributes:
        bits: of a code.
        codes: its codes, uint8 (N, K).
        groups: its scales, zeros and the groups of its inputs, see Affine.
        stored: what these read.
    """

    bits: int
    codes: Callable[[], Codes]
    groups: Callable[[], tuple[F32, NDArray[np.int16], NDArray[np.int64]]]
    stored: Sequence[StoredTensor]


class AffineTensor:
    """A matrix of a checkpoint, read when rows are asked for and kept until `release`.

    A method may store codes by inputs rather than by rows, so that no row can be had alone.
    """

    is_quantized = True

    def __init__(self, name: str, shape: tuple[int, ...], parts: Parts) -> None:
        self.name, self.shape, self.path = name, shape, Path(parts.stored[0].file.path)
        self._parts = parts
        self._reading = threading.Lock()
        self._read: Affine | None = None
        self._format: BlockFormat | None = None
        self._is_format_known = False

    @property
    def format(self) -> BlockFormat | None:
        """See exact_format."""
        if not self._is_format_known:
            self._format = exact_format(self._parts.bits, *self._parts.groups())
            self._is_format_known = True
        return self._format

    def rows(self, index: Index) -> F32:
        """Some rows as float32."""
        return self._affine().rows(index)

    def stored(self, index: Index) -> NDArray[np.uint8]:
        """Some rows as blocks of `format`, uint8 (rows, bytes)."""
        fmt = self.format
        if fmt is None:
            raise ValueError(f"{self.name}: no type holds it without rounding")
        return self._affine().blocks(index, fmt)

    def prefetch(self) -> None:
        """Have it read from the disk in the background."""
        for tensor in self._parts.stored:
            tensor.prefetch()

    def release(self) -> None:
        """Give its memory back."""
        self._read = None

    def _affine(self) -> Affine:
        with self._reading:
            if self._read is None:
                self._read = Affine(self._parts.codes(), *self._parts.groups())
            return self._read


def unpacked(words: NDArray[np.int32], bits: int) -> Codes:
    """Codes packed into the last axis' words of 32 bits, the lowest bits first."""
    data = np.ascontiguousarray(words, "<i4").view(np.uint8)
    if bits == 8:
        return data
    out = np.empty((*data.shape[:-1], 2 * data.shape[-1]), np.uint8)
    out[..., 0::2] = data & 15
    out[..., 1::2] = data >> 4
    return out
