"""The K types: blocks of 256 weights, with integer scales (and minima) of 16 or 32 of them.

Q2_K   w = d * s * q - dmin * m    q: 2 bits; 16 inputs; s, m: 4 bits
Q3_K   w = d * (s - 32) * (q - 4)  q: 2 bits and one of hmask; 16 inputs; s: 6 bits
Q4_K   w = d * s * q - dmin * m    q: 4 bits; 32 inputs; s, m: 6 bits
Q5_K   the same                    q: 4 bits and one of qh
Q6_K   w = d * s * (q - 32)        q: 4 bits of ql and 2 of qh; 16 inputs; s: 8 bits, signed
"""

from __future__ import annotations

import numpy as np

from halfbyte.kernels.formats.block_format import BlockFormat, Place, Plane, SubScales

_D, _DMIN = ("d", "<f2"), ("dmin", "<f2")


def byte_at(i: int) -> Place:
    """A byte each, from its lowest bit up."""
    return i, 0, 0, 0


def high_nibble_at(i: int) -> Place:
    """The high nibble of a byte each."""
    return i, 4, 0, 0


def q3_k_scale_at(i: int) -> Place:
    """4 bits of 8 bytes, from the low nibbles up; 2 bits of 4 more, likewise."""
    return i % 8, i // 8 * 4, 8 + i % 4, i // 4 * 2


def q4_k_scale_at(i: int) -> Place:
    """The first four: 6 bits of bytes 0 .. 3. Then low nibbles of 8 .. 11, 2 bits above those."""
    return (i, 0, i, 4) if i < 4 else (i + 4, 0, i - 4, 6)


def q4_k_minimum_at(i: int) -> Place:
    """The first four: 6 bits of bytes 4 .. 7. Then high nibbles of 8 .. 11, 2 bits above those."""
    return (i + 4, 0, i + 4, 4) if i < 4 else (i + 4, 4, i, 6)


_SIX_BITS = SubScales(32, 4, 2, q4_k_scale_at, q4_k_minimum_at)

Q2_K = BlockFormat(
    "Q2_K", 10, 256, np.dtype([("scales", "u1", 16), ("qs", "u1", 64), _D, _DMIN]),
    (Plane("qs", 2, 32),), scales=SubScales(16, 4, 0, byte_at, high_nibble_at),
)  # fmt: skip
Q3_K = BlockFormat(
    "Q3_K", 11, 256, np.dtype([("hmask", "u1", 32), ("qs", "u1", 64), ("scales", "u1", 12), _D]),
    (Plane("qs", 2, 32), Plane("hmask", 1, 32)), offset=4,
    scales=SubScales(16, 4, 2, q3_k_scale_at, offset=32),
)  # fmt: skip
Q4_K = BlockFormat(
    "Q4_K", 12, 256, np.dtype([_D, _DMIN, ("scales", "u1", 12), ("qs", "u1", 128)]),
    (Plane("qs", 4, 32),), scales=_SIX_BITS,
)  # fmt: skip
Q5_K = BlockFormat(
    "Q5_K", 13, 256,
    np.dtype([_D, _DMIN, ("scales", "u1", 12), ("qh", "u1", 32), ("qs", "u1", 128)]),
    (Plane("qs", 4, 32), Plane("qh", 1, 32)), scales=_SIX_BITS,
)  # fmt: skip
Q6_K = BlockFormat(
    "Q6_K", 14, 256,
    np.dtype([("ql", "u1", 128), ("qh", "u1", 64), ("scales", "i1", 16), _D]),
    (Plane("ql", 4, 64), Plane("qh", 2, 32)), offset=32, scales=SubScales(16, 8, 0, byte_at),
)  # fmt: skip
