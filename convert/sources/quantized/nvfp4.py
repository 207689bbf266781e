"""Checkpoints in NVFP4: four-bit floats, a float of 8 bits for 16 of them, a factor for all.

    w[row, k] = fp4(code[row, k]) * e4m3(scale[row, k / 16]) * factor

Two neighbouring inputs share a byte, the first one in its low half. GGUF's blocks hold the same
codes and scales in another order, and the factor is a tensor of its own, so nothing is rounded.

Source: NVIDIA's ModelOpt, NVFP4QTensor; compressed-tensors, nvfp4_quantized.py.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from halfbyte.converting.sources.quantized.checkpoint import Checkpoint, HFTensor
from halfbyte.converting.sources.quantized.float8 import E4M3
from halfbyte.converting.sources.safetensors_file import StoredTensor
from halfbyte.kernels.formats.block_format import BlockFormat
from halfbyte.kernels.formats.nvfp4 import NVFP4

_GROUP = 16
_FP4 = np.array(NVFP4.table, np.float32) / np.float32(2)


class NVFP4Tensor:
    """A matrix; `factor` is what all its numbers grow by.

    Attributes:
        factors: that, as a file has it.
    """

    is_quantized = True

    def __init__(
        self, name: str, codes: StoredTensor, scales: StoredTensor, factor: np.float32
    ) -> None:
        self.name, self.path = name, Path(codes.file.path)
        self.shape = (codes.shape[0], 2 * codes.shape[1])
        self._codes, self._scales = codes, scales
        self.factors = np.array([factor], np.float32)

    @property
    def format(self) -> BlockFormat | None:
        """NVFP4, where rows are whole blocks of GGUF's."""
        return NVFP4 if self.shape[1] % NVFP4.block_size == 0 else None

    def rows(self, index: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """Some rows as float32."""
        codes, scales = self._read(index)
        out = np.empty((len(codes), self.shape[1]), np.float32)
        out[:, 0::2], out[:, 1::2] = _FP4[codes & 15], _FP4[codes >> 4]
        out *= E4M3[scales].repeat(_GROUP, -1)
        out *= self.factors
        return out

    def stored(self, index: slice | NDArray[np.int64]) -> NDArray[np.uint8]:
        """The same as GGUF's blocks, without the factor: (rows, bytes).

        Raises:
            ValueError: a scale is negative or no number, for which GGUF has no place.
        """
        codes, scales = self._read(index)
        if (scales > 0x80).any() or (scales == 0x7F).any():
            raise ValueError("scales of blocks that are negative or no numbers")
        out = np.empty((len(codes), self.shape[1] // NVFP4.block_size), NVFP4.dtype)
        out["scales"] = (scales & 0x7F).reshape(*out.shape, -1)
        # Inputs 2i and 2i + 1 share a byte there, and j and j + 8 of 16 here.
        groups = codes.reshape(*out.shape, -1, _GROUP // 2)
        low, high = groups[..., :4], groups[..., 4:]
        qs = np.empty_like(groups)
        qs[..., 0::2], qs[..., 1::2] = low & 15 | high << 4, low >> 4 | high & 0xF0
        out["qs"] = qs.reshape(*out.shape, -1)
        return out.view(np.uint8).reshape(len(codes), -1)

    def prefetch(self) -> None:
        """Have it read from the disk in the background."""
        self._codes.prefetch()
        self._scales.prefetch()

    def release(self) -> None:
        """It keeps nothing."""

    def _read(
        self, index: slice | NDArray[np.int64]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Codes and scales of some rows."""
        wanted = np.arange(self.shape[0])[index]
        begin, end = (int(wanted.min()), int(wanted.max()) + 1) if len(wanted) else (0, 0)
        codes, scales = (t.raw(begin, end)[wanted - begin] for t in (self._codes, self._scales))
        return codes, scales


def nvfp4_tensor(
    checkpoint: Checkpoint, module: str, codes: str, factor: str, *, divides: bool = False
) -> HFTensor:
    """A module's matrix, of the tensors that have its codes and its factor.

    With `divides` numbers are divided by the factor, as compressed-tensors has it.

    Raises:
        ConversionError: tensors are missing or do not fit together.
    """
    packed = checkpoint.take(f"{module}.{codes}", "U8")
    n_rows, n_bytes = checkpoint.matrix(packed)
    scales = checkpoint.take(f"{module}.weight_scale", "F8_E4M3")
    if 2 * n_bytes % _GROUP:
        raise checkpoint.bad(packed, "shape", f"groups of {_GROUP} inputs", str(packed.shape))
    checkpoint.check_shape(scales, (n_rows, 2 * n_bytes // _GROUP))
    whole = checkpoint.take(f"{module}.{factor}", "F32")
    checkpoint.check_shape(whole, (), (1,))
    value = whole.floats().reshape(-1)[0]
    if not (np.isfinite(value) and value > 0):
        raise checkpoint.bad(whole, "value", "a number above 0", str(value))
    if divides:
        value = np.float32(1) / value
    return NVFP4Tensor(f"{module}.weight", packed, scales, value)
