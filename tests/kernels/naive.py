"""Slow twins of the kernels, in NumPy: the same arithmetic, written without vectors or tiles.

A twin repeats the order and the rounding of every operation, so that results compare with `==`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]

RECORD = np.dtype([
    ("q", "i1", 32), ("d", "<f4"), ("d sum", "<f4"), ("d half", "<f4"), ("sum", "<i2"),
    ("half", "<i2"),
])  # fmt: skip


def fma(a: F32, b: F32, c: F32) -> F32:
    """a * b + c, rounded once to float32.

    The product is exact in float64. The sum is rounded to odd there (the last bit set where digits
    were lost), so that rounding it again to float32 cannot land on a false tie: Boldo and
    Melquiond, "Emulation of FMA and correctly rounded sums", 2008.
    """
    p, c = np.broadcast_arrays(np.multiply(a, b, dtype=np.float64), np.asarray(c, np.float64))
    s = np.atleast_1d(p + c)
    back = s - p
    error = (p - (s - back)) + (c - back)  # Knuth's exact error of the sum
    bits = s.view(np.int64)
    lost = np.isfinite(s) & (error != 0) & (bits & 1 == 0)
    bits += np.where(lost, np.where((error > 0) == (s > 0), 1, -1), 0)
    with np.errstate(over="ignore", under="ignore"):
        return s.astype(np.float32).reshape(p.shape)


def sum_halves(x: F32) -> F32:
    """Sums over the last axis, of 16 lanes, by halves: lane i with i + 8, then + 4, + 2, + 1."""
    while x.shape[-1] > 1:
        half = x.shape[-1] // 2
        x = x[..., :half] + x[..., half:]
    return x[..., 0]


def rms_norm(x: F32, weight: F32, eps: np.float32) -> F32:
    """RMSNorm of one row, of any length, in 16 lanes."""
    n = len(x)
    rows = np.zeros(-(-n // 32) * 32, np.float32)
    rows[:n] = x
    squares = np.zeros(16, np.float32)
    for lanes in rows.reshape(-1, 16):
        squares = fma(lanes, lanes, squares)
    mean = sum_halves(squares) / np.float32(n)
    return x * (np.float32(1) / np.sqrt(mean + eps)) * weight


def quantize_activations(x: F32) -> NDArray[np.void]:
    """The records of rows (T, K), shape (K / 32, T)."""
    blocks = x.reshape(len(x), -1, 32)
    largest = np.abs(blocks).max(-1)
    with np.errstate(divide="ignore", over="ignore"):
        inverse = np.float32(127) / largest
    inverse[~np.isfinite(inverse)] = 0
    out = np.zeros(largest.shape, RECORD)
    out["q"] = np.rint(blocks * inverse[..., None])
    out["d"] = np.where(inverse > 0, largest / np.float32(127), np.float32(0))
    out["sum"] = out["q"].sum(-1, dtype=np.int16)
    out["half"] = out["q"][..., :16].sum(-1, dtype=np.int16)
    with np.errstate(over="ignore"):
        for name in ("sum", "half"):
            out["d " + name] = out["d"] * out[name].astype(np.float32)
    return np.ascontiguousarray(out.T)


def matmul_blocks(codes: NDArray[np.int32], d: F32, m: F32 | None, records: NDArray) -> F32:
    """y (T, N) of weights d * codes + m, in blocks: codes (N, S, n), d and m (N, S), n 16 or 32.

    A block's products add up exactly; its scale is the product of both scales, and its minimum
    follows the scaled sum.
    """
    n_tokens, per_record = records.shape[1], 32 // codes.shape[2]
    acc = np.zeros((n_tokens, len(codes)), np.float32)
    for i in range(codes.shape[1]):
        x, part = records[i // per_record], i % per_record
        q = x["q"].astype(np.int32).reshape(n_tokens, per_record, -1)[:, part]
        acc = fma((q @ codes[:, i].T).astype(np.float32), d[:, i] * x["d"][:, None], acc)
        if m is not None:
            total = q.sum(-1).astype(np.float32)
            acc = fma(m[:, i], (x["d"] * total)[:, None], acc)
    return acc


def matmul_floats(w: F32, x: F32) -> F32:
    """y (T, N) of float weights (N, K) and rows (T, K): one sum per output, in order."""
    acc = np.zeros((len(x), len(w)), np.float32)
    for k in range(w.shape[1]):
        acc = fma(w[:, k], x[:, k, None], acc)
    return acc


def attention(q: F32, k: F32, v: F32, first: int, window: int = 0) -> NDArray[np.float64]:
    """Causal attention in float64: q (T, H, D) at positions first.., k and v (S, G, D).

    A window is the number of positions that a query sees; 0 is all.
    """
    n, n_heads, d = q.shape
    group = n_heads // k.shape[1]
    keys, values = (np.repeat(a.astype(np.float64), group, axis=1) for a in (k, v))
    scores = np.einsum("thd,shd->hts", q.astype(np.float64), keys) / np.sqrt(d)
    position = first + np.arange(n)
    distance = position[:, None] - np.arange(len(k))
    seen = (distance >= 0) & (distance < (window or len(k)))
    scores = np.where(seen, scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return np.einsum("hts,shd->thd", weights, values)


def rotate(x: F32, positions: NDArray[np.int64], theta: float) -> NDArray[np.float64]:
    """Rotary embedding in float64: neighbours of x (T, H, D) turned by position * frequency."""
    d = x.shape[-1]
    angles = positions[:, None] * theta ** (-np.arange(0, d, 2) / d)
    turned = (x[..., 0::2] + 1j * x[..., 1::2]) * np.exp(1j * angles)[:, None]
    return np.stack([turned.real, turned.imag], -1).reshape(x.shape)
