"""Blocks of every quantized type taken apart in NumPy, independent of the package's code.

Written from ggml's dequantize_row_*; the tests check it against `gguf.dequantize`. Of types with
tables and codebooks the scales are found here, and codes are what `gguf` says over these.
"""

from __future__ import annotations

from typing import NamedTuple

import gguf
import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

_SMALL = {"Q4_0": 18, "Q4_1": 20, "Q5_0": 22, "Q5_1": 24, "Q8_0": 34, "MXFP4": 17}
_SUPER = {"Q2_K": 84, "Q3_K": 110, "Q4_K": 144, "Q5_K": 176, "Q6_K": 210}
# Others, as (weights, bytes) of a block.
_MORE = {
    "IQ4_NL": (32, 18), "IQ4_XS": (256, 136), "Q1_0": (128, 18), "Q2_0": (64, 18),
    "TQ1_0": (256, 54), "TQ2_0": (256, 66), "NVFP4": (64, 36),
    "IQ2_XXS": (256, 66), "IQ2_XS": (256, 74), "IQ2_S": (256, 82), "IQ3_XXS": (256, 98),
    "IQ3_S": (256, 110), "IQ1_S": (256, 50), "IQ1_M": (256, 56),
}  # fmt: skip


class Parts(NamedTuple):
    """w = factor * code + addend, per sub-block: code (N, S, n), factor and addend (N, S)."""

    code: NDArray[np.int32]
    factor: F32
    addend: F32 | None


def random_rows(rng: np.random.Generator, name: str, n_rows: int, n: int) -> U8:
    """Rows of random codes and scales, with moderate numbers for the half-precision fields."""
    size, nbytes = _sizes(name)
    rows = rng.integers(0, 256, (n_rows, n // size, nbytes), dtype=np.uint8)
    for at in _halves(name):
        values = rng.uniform(0.01, 1, rows.shape[:2]) * rng.choice([-1, 1], rows.shape[:2])
        rows[..., at : at + 2] = values.astype("<f2")[..., None].view(np.uint8)
    if name == "MXFP4":
        rows[..., 0] = rng.integers(120, 130, rows.shape[:2])
    if name == "IQ1_M":  # d lies in the highest bits of the scales
        rows[..., 55] = rows[..., 55] & 0xBF | 0x30
    return rows.reshape(n_rows, -1)


def take_apart(name: str, rows: U8) -> Parts:
    """The codes and scales of rows."""
    size, nbytes = _sizes(name)
    b = rows.reshape(len(rows), -1, nbytes)
    if name in _MORE:
        factor = _factors(name, b)
        sub = size * b.shape[1] // factor.shape[1]
        weights = floats(name, rows).reshape(*factor.shape, sub)
        codes = weights / np.where(factor == 0, 1, factor)[..., None]
        assert (codes == np.rint(codes)).all()
        n = min(sub, 32)
        codes = codes.reshape(len(rows), -1, n).astype(np.int32)
        return Parts(codes, factor.repeat(sub // n, 1), None)
    numbers = (b[..., at : at + 2].copy().view("<f2")[..., 0].astype(np.float32)
             for at in _halves(name))  # fmt: skip
    return globals()[f"_{name.lower()}"](b, *numbers)


def floats(name: str, rows: U8) -> F32:
    """What rows stand for, (N, weights): what `gguf` says, where it knows the type."""
    b = rows.reshape(-1, _MORE.get(name, (0, rows.shape[1]))[1])
    if name == "Q1_0":
        w = _d(b) * (2 * np.unpackbits(b[:, 2:], axis=-1, bitorder="little").astype(np.float32) - 1)
    elif name == "Q2_0":
        codes = b[:, 2:, None] >> np.array([0, 2, 4, 6], np.uint8) & 3
        w = _d(b) * (codes.reshape(len(b), 64).astype(np.float32) - 1)
    else:
        w = gguf.quants.dequantize(rows, gguf.GGMLQuantizationType[name]).astype(np.float32)
    return w.reshape(len(rows), -1)


def _sizes(name: str) -> tuple[int, int]:
    if name in _MORE:
        return _MORE[name]
    return (256, _SUPER[name]) if name in _SUPER else (32, _SMALL[name])


def _d(b: U8) -> F32:
    return b[:, :2].copy().view("<f2").astype(np.float32)


def _halves(name: str) -> tuple[int, ...]:
    return {
        "Q4_0": (0,), "Q4_1": (0, 2), "Q5_0": (0,), "Q5_1": (0, 2), "Q8_0": (0,), "Q2_K": (80, 82),
        "Q3_K": (108,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,),
        "TQ1_0": (52,), "TQ2_0": (64,), "NVFP4": (), "MXFP4": (), "IQ1_M": (),
    }.get(name, (0,))  # fmt: skip


def _nibbles(b: U8) -> NDArray[np.int32]:
    return np.concatenate([b & 15, b >> 4], -1).astype(np.int32)


def _fifth(b: U8) -> NDArray[np.int32]:
    return np.unpackbits(b, axis=-1, bitorder="little").astype(np.int32) << 4


def _q4_0(b: U8, d: F32) -> Parts:
    return Parts(_nibbles(b[..., 2:]) - 8, d, None)


def _q4_1(b: U8, d: F32, m: F32) -> Parts:
    return Parts(_nibbles(b[..., 4:]), d, m)


def _q5_0(b: U8, d: F32) -> Parts:
    return Parts(_nibbles(b[..., 6:]) + _fifth(b[..., 2:6]) - 16, d, None)


def _q5_1(b: U8, d: F32, m: F32) -> Parts:
    return Parts(_nibbles(b[..., 8:]) + _fifth(b[..., 4:8]), d, m)


def _q8_0(b: U8, d: F32) -> Parts:
    return Parts(b[..., 2:].view(np.int8).astype(np.int32), d, None)


def _mxfp4(b: U8) -> Parts:
    sizes = np.array([0, 1, 2, 3, 4, 6, 8, 12])
    table = np.concatenate([sizes, -sizes]).astype(np.int32)
    powers = np.ldexp(np.float32(1), b[..., 0].astype(np.int32) - 128)
    return Parts(table[_nibbles(b[..., 1:])], powers, None)


def _crumbs(b: U8) -> NDArray[np.int32]:
    """64 bytes of 2-bit codes to (N, blocks, 256): each 32 bytes hold 4 runs of 32."""
    runs = b.reshape(*b.shape[:2], 2, 1, 32) >> np.array([0, 2, 4, 6], np.uint8)[:, None] & 3
    return runs.reshape(*b.shape[:2], 256).astype(np.int32)


def _flat(x: NDArray, n: int) -> NDArray:
    return x.reshape(len(x), -1, n)


def _each(d: F32, scales: NDArray[np.int32]) -> F32:
    return (d[..., None] * scales.astype(np.float32)).reshape(len(d), -1)


def _q2_k(b: U8, d: F32, dmin: F32) -> Parts:
    scales = b[..., :16].astype(np.int32)
    return Parts(
        _flat(_crumbs(b[..., 16:80]), 16), _each(d, scales & 15), _each(-dmin, scales >> 4)
    )


def _q3_k(b: U8, d: F32) -> Parts:
    bits = b[..., None, :32] >> np.arange(8, dtype=np.uint8)[:, None] & 1
    code = _crumbs(b[..., 32:96]) + 4 * bits.reshape(*b.shape[:2], 256).astype(np.int32) - 4
    s = b[..., 96:108].astype(np.int32)
    low = np.concatenate([s[..., :8] & 15, s[..., :8] >> 4], -1)
    high = np.concatenate([s[..., 8:] >> k & 3 for k in (0, 2, 4, 6)], -1)
    return Parts(_flat(code, 16), _each(d, (low | high << 4) - 32), None)


def _six_bits(s: U8) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    s = s.astype(np.int32)
    a, b, c = s[..., :4], s[..., 4:8], s[..., 8:]
    scales = np.concatenate([a & 63, c & 15 | a >> 6 << 4], -1)
    return scales, np.concatenate([b & 63, c >> 4 | b >> 6 << 4], -1)


def _runs_of_nibbles(qs: U8) -> NDArray[np.int32]:
    pairs = qs.reshape(*qs.shape[:2], -1, 1, 32) >> np.array([0, 4], np.uint8)[:, None] & 15
    return pairs.reshape(*qs.shape[:2], 256).astype(np.int32)


def _q4_k(b: U8, d: F32, dmin: F32) -> Parts:
    scales, minima = _six_bits(b[..., 4:16])
    return Parts(_flat(_runs_of_nibbles(b[..., 16:]), 32), _each(d, scales), _each(-dmin, minima))


def _q5_k(b: U8, d: F32, dmin: F32) -> Parts:
    scales, minima = _six_bits(b[..., 4:16])
    bits = b[..., None, 16:48] >> np.arange(8, dtype=np.uint8)[:, None] & 1
    fifth = bits.reshape(*b.shape[:2], 256).astype(np.int32) << 4
    code = _runs_of_nibbles(b[..., 48:]) + fifth
    return Parts(_flat(code, 32), _each(d, scales), _each(-dmin, minima))


def _q6_k(b: U8, d: F32) -> Parts:
    ql = b[..., :128].reshape(*b.shape[:2], 2, 1, 64) >> np.array([0, 4], np.uint8)[:, None] & 15
    qh = b[..., 128:192].reshape(*b.shape[:2], 2, 1, 32)
    high = qh >> np.array([0, 2, 4, 6], np.uint8)[:, None] & 3
    code = ql.reshape(*b.shape[:2], 256).astype(np.int32)
    code += high.reshape(*b.shape[:2], 256).astype(np.int32) << 4
    return Parts(
        _flat(code - 32, 16), _each(d, b[..., 192:208].view(np.int8).astype(np.int32)), None
    )


# --- the factor of each sub-block, (N, S) -----------------------------------------------------


def _factors(name: str, b: U8) -> F32:
    if name == "NVFP4":
        return gguf.quants.NVFP4.ue4m3_to_fp32(b[..., :4]).astype(np.float32).reshape(len(b), -1)
    if name == "IQ1_M":
        return _factors_of_iq1_m(b)
    (at,) = _halves(name)
    d = b[..., at : at + 2].copy().view("<f2").astype(np.float32)
    step = {"IQ3_XXS": 0.25, "IQ3_S": 1, "IQ4_XS": 1}.get(name, 0.125)
    s = _sub_scales(name, b)
    return (
        (d * np.float32(step) * s.astype(np.float32)).reshape(len(b), -1) if len(s) else d[..., 0]
    )


def _sub_scales(name: str, b: U8) -> NDArray[np.int32]:
    """(N, blocks, S); empty where blocks have none."""
    if name == "IQ4_XS":
        low, high = _nibble_pairs(b[..., 4:8]), b[..., 2:4].copy().view("<u2")
        return (low | (high >> np.arange(0, 16, 2) & 3) << 4) - 32
    if name in ("IQ2_XXS", "IQ3_XXS"):
        rest = b[..., 2:].copy().view("<u4")[..., 1::2] if name == "IQ2_XXS" else (
            b[..., 66:].copy().view("<u4"))  # fmt: skip
        return 2 * (rest >> 28).astype(np.int32) + 1
    at = {"IQ2_XS": 66, "IQ2_S": 74, "IQ3_S": 106}.get(name)
    if at is not None:
        return 2 * _nibble_pairs(b[..., at:]) + 1
    if name == "IQ1_S":
        return 2 * (b[..., 34:].copy().view("<u2") >> 12 & 7).astype(np.int32) + 1
    return np.empty(0, np.int32)


def _nibble_pairs(b: U8) -> NDArray[np.int32]:
    return (
        (b[..., None] >> np.array([0, 4], np.uint8) & 15).reshape(*b.shape[:2], -1).astype(np.int32)
    )


def _factors_of_iq1_m(b: U8) -> F32:
    words = b[..., 48:].copy().view("<u2")
    bits = (words >> 12).astype(np.uint16) << np.arange(0, 16, 4, dtype=np.uint16)
    d = np.bitwise_or.reduce(bits, -1).astype(np.uint16).view(np.float16).astype(np.float32)
    s = 2 * (words[..., None] >> np.array([0, 3, 6, 9], np.uint16) & 7).astype(np.int32) + 1
    factor = d[..., None] * np.float32(0.125) * s.reshape(*b.shape[:2], 16).astype(np.float32)
    return factor.reshape(len(b), -1)
