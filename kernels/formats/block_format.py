"""The only definition of a tensor type: its id in GGUF, its block, its bytes.

A block format stores `block_size` consecutive weights of a row in one fixed-size record, given
here as a NumPy structured dtype whose field names are ggml's (`d` scale, `m` minimum, `qs`
codes). Item size and field offsets come from the dtype and stand nowhere else.

    F32 F16 BF16    one weight each (BF16 as its 16 bits)
    Q4_0   w = d * (q - 8)        q: 4 bits; qs[j] holds input j (low nibble) and j + 16 (high)
    Q4_1   w = d * q + m          q: as Q4_0
    Q5_0   w = d * (q - 16)       q: 5 bits; qs as Q4_0, bit k of qh is the fifth of input k
    Q5_1   w = d * q + m          q: as Q5_0
    Q8_0   w = d * q              q: 8 bits, signed

The K types have blocks of 256 with one or two half-precision numbers, and codes for the scale (and
minimum) of each sub-block of 16 or 32 inputs:

    Q2_K   w = d * s * q - dmin * m    q: 2 bits; 16 inputs; s, m: 4 bits
    Q3_K   w = d * (s - 32) * (q - 4)  q: 2 bits and one of hmask; 16 inputs; s: 6 bits
    Q4_K   w = d * s * q - dmin * m    q: 4 bits; 32 inputs; s, m: 6 bits
    Q5_K   the same                    q: 4 bits and one of qh
    Q6_K   w = d * s * (q - 32)        q: 4 bits of ql and 2 of qh; 16 inputs; s: 8 bits, signed

Where the codes of an input lie in these blocks is stated by `panels.py` and `quantize.py`.

Source: ggml's ggml-common.h (block_q4_0, block_q2_K and so on) and the enum ggml_type.
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
Q5_0 = _format("Q5_0", 6, 32, ("d", "<f2"), ("qh", "<u4"), ("qs", "u1", 16))
Q5_1 = _format("Q5_1", 7, 32, ("d", "<f2"), ("m", "<f2"), ("qh", "<u4"), ("qs", "u1", 16))
Q2_K = _format(
    "Q2_K", 10, 256, ("scales", "u1", 16), ("qs", "u1", 64), ("d", "<f2"), ("dmin", "<f2")
)
Q3_K = _format(
    "Q3_K", 11, 256, ("hmask", "u1", 32), ("qs", "u1", 64), ("scales", "u1", 12), ("d", "<f2")
)
Q4_K = _format(
    "Q4_K", 12, 256, ("d", "<f2"), ("dmin", "<f2"), ("scales", "u1", 12), ("qs", "u1", 128)
)
Q5_K = _format(
    "Q5_K", 13, 256, ("d", "<f2"), ("dmin", "<f2"), ("scales", "u1", 12), ("qh", "u1", 32),
    ("qs", "u1", 128),
)  # fmt: skip
Q6_K = _format(
    "Q6_K", 14, 256, ("ql", "u1", 128), ("qh", "u1", 64), ("scales", "i1", 16), ("d", "<f2")
)
BF16 = _format("BF16", 30, 1, ("w", "<u2"))

FORMATS: dict[str, BlockFormat] = {
    f.name: f for f in (F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K)
}
BY_GGML_ID: dict[int, BlockFormat] = {f.ggml_id: f for f in FORMATS.values()}
