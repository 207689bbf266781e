"""The only definition of a tensor type: its id in GGUF, its block, its bytes.

A block format stores `block_size` consecutive weights of a row in one fixed-size record, given
here as a NumPy structured dtype whose field names are ggml's (`d` scale, `m` minimum, `qs`
codes). Item size and field offsets come from the dtype and stand nowhere else.

    F32 F16 BF16    one weight each (BF16 as its 16 bits)
    Q4_0   w = d * (q - 8)        q: 4 bits; qs[j] holds input j (low nibble) and j + 16 (high)
    Q4_1   w = d * q + m          q: as Q4_0
    Q8_0   w = d * q              q: 8 bits, signed

Source: ggml's ggml-common.h (block_q4_0, block_q4_1, block_q8_0) and the enum ggml_type.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class BlockFormat:
    """One tensor type of GGUF. `ggml_id` is its number in the file, `dtype` one block."""

    name: str
    ggml_id: int
    block_size: int
    dtype: np.dtype[np.void]

    @property
    def block_nbytes(self) -> int:
        """Bytes of one block."""
        return int(self.dtype.itemsize)

    @property
    def bits_per_weight(self) -> float:
        """Bits that one weight takes in the file."""
        return 8 * self.block_nbytes / self.block_size

    @property
    def is_quantized(self) -> bool:
        """Whether weights share a block, which makes the kernels use int8 activations."""
        return self.block_size > 1

    def row_nbytes(self, n: int) -> int:
        """Bytes of a row of `n` weights; ValueError unless `n` is a multiple of the block size."""
        if n % self.block_size:
            raise ValueError(
                f"{self.name}: a row of {n} is not a multiple of the block size {self.block_size}"
            )
        return n // self.block_size * self.block_nbytes


def _format(name: str, ggml_id: int, block_size: int, *fields: tuple[object, ...]) -> BlockFormat:
    return BlockFormat(name, ggml_id, block_size, np.dtype(list(fields)))


F32 = _format("F32", 0, 1, ("w", "<f4"))
F16 = _format("F16", 1, 1, ("w", "<f2"))
Q4_0 = _format("Q4_0", 2, 32, ("d", "<f2"), ("qs", "u1", 16))
Q4_1 = _format("Q4_1", 3, 32, ("d", "<f2"), ("m", "<f2"), ("qs", "u1", 16))
Q8_0 = _format("Q8_0", 8, 32, ("d", "<f2"), ("qs", "i1", 32))
BF16 = _format("BF16", 30, 1, ("w", "<u2"))

FORMATS: dict[str, BlockFormat] = {f.name: f for f in (F32, F16, BF16, Q4_0, Q4_1, Q8_0)}
BY_GGML_ID: dict[int, BlockFormat] = {f.ggml_id: f for f in FORMATS.values()}
