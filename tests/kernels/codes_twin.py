"""The slow twin of attention over codes: every operation and rounding, in NumPy."""

from __future__ import annotations

from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from halfbyte.kernels.layouts.kv_pages import PAGE

F32 = NDArray[np.float32]
Ints = NDArray[np.int64]
ONE, HALF = np.float32(1), np.float32(0.5)


def rotate(x: F32) -> F32:
    """The Hadamard transform of rows of d floats, by the largest power of two that divides d."""
    d = x.shape[-1]
    block = d & -d
    y = x.reshape(-1, block // 16, 16)
    for half in (1, 2, 4, 8):
        lanes = np.arange(16)
        y = y[..., lanes ^ half] + np.where(lanes & half, -y, y)
    y = y * (ONE / np.sqrt(np.float32(block)))
    half = 1
    while half < block // 16:
        pairs = y.reshape(len(y), -1, 2, half, 16)
        low, high = pairs[:, :, 0], pairs[:, :, 1]
        y = np.stack([low + high, low - high], axis=2).reshape(y.shape)
        half *= 2
    return y.reshape(x.shape)


def stored(x: F32, bits: int) -> tuple[Ints, F32]:
    """Rows (n, d) as the cache has them: whole numbers of odd steps (even for bytes), scales."""
    limit = np.float32(65504)
    x = rotate(np.clip(np.where(np.isnan(x), limit, x), -limit, limit).astype(np.float32))
    x = np.clip(x, -limit, limit)
    steps = np.float32(127 if bits == 8 else 2**bits - 1)
    scales = (np.abs(x).max(-1) / steps + np.float32(2.0**-25)).astype(np.float16)
    with np.errstate(divide="ignore"):
        inverse = ONE / scales.astype(np.float32)
    inverse = np.where(np.isinf(inverse), np.float32(0), inverse)[:, None]
    if bits == 8:
        return np.clip(np.rint(x * inverse), -127, 127).astype(int), scales.astype(np.float32)
    # One rounding: the product is exact in float64, and so is the sum of numbers of this size.
    y = (x.astype(np.float64) * (inverse * HALF) + 0.5 * steps).astype(np.float32)
    return 2 * np.clip(np.rint(y), 0, steps).astype(int) - int(steps), scales.astype(np.float32)


def exp(naive: ModuleType, x: F32) -> F32:
    """vector_math.exp."""
    f = np.float32
    x = np.minimum(np.maximum(x, f(-88.5)), f(88))
    magic = f(12582912)
    n = naive.fma(x, f(1.4426950408889634), magic) - magic
    r = naive.fma(n, f(-2.12194440e-4) * f(-1), naive.fma(n, f(-0.693359375), x))
    p = np.full_like(r, f(1 / 5040))
    for factorial in (720, 120, 24, 6, 2):
        p = naive.fma(p, r, f(1 / factorial))
    p = naive.fma(naive.fma(p, r * r, r), ONE, ONE)
    return p * np.where(n > -127, np.exp2(np.maximum(n, -126)), 0).astype(f)


def attention(
    naive: ModuleType, q: F32, keys: F32, values: F32, first: int, bits: tuple[int, int],
    window: int = 0,
) -> F32:  # fmt: skip
    """Attention of queries (T, H, D) over keys and values (S, G, D) as given to the cache."""
    out, d, group = np.empty_like(q), q.shape[-1], q.shape[1] // keys.shape[1]
    for g in range(keys.shape[1]):
        k, v = stored(keys[:, g], bits[0]), stored(values[:, g], bits[1])
        for t in range(len(q)):
            seen = range(max(first + t + 1 - (window or len(keys)), 0), first + t + 1)
            for h in range(g * group, (g + 1) * group):
                scaled = q[t, h] * np.float32(1 / np.sqrt(d))
                out[t, h] = _row(naive, scaled, k, v, seen, bits[1])
    return out


def _row(
    naive: ModuleType, q: F32, k: tuple[Ints, F32], v: tuple[Ints, F32], seen: range, bits: int
) -> F32:
    q = rotate(q[None])[0]
    top = np.abs(q).max()
    codes, scale = np.rint(q * (np.float32(127) / top)).astype(int), top / np.float32(127)
    merged, total, out = np.float32(-np.inf), np.float32(0), np.zeros_like(q)
    for begin in range(seen.start // PAGE * PAGE, seen.stop, PAGE):
        at = np.arange(max(begin, seen.start), min(begin + PAGE, seen.stop))
        # One rounding, as a product is added to 0.
        s = (k[0][at] @ codes).astype(np.float32) * (k[1][at] * scale)
        weights = np.zeros(PAGE, np.float32)
        weights[at - begin] = exp(naive, s - s.max())
        lanes = np.zeros(16, np.float32)
        for sixteen in weights.reshape(-1, 16):
            lanes = lanes + sixteen
        weights[at - begin] *= v[1][at]
        w, step = _whole(naive, weights, bits)
        given = (w[at - begin] @ v[0][at]).astype(np.float32) * step
        new = max(merged, s.max())
        a, b = (exp(naive, np.atleast_1d(np.float32(x - new)))[0] for x in (merged, s.max()))
        total = total * a + naive.sum_halves(lanes) * b
        out, merged = naive.fma(given, b, out * a), new
    return rotate((out / total)[None])[0]


def _whole(naive: ModuleType, weights: F32, bits: int) -> tuple[Ints, np.float32]:
    """A page's weights as whole numbers, and their step.

    For values of 4 bits a lane of 16 hands on what it has lost.
    """
    top, most = weights.max(), np.float32(16383 if bits == 8 else 253)
    if bits == 8:
        return np.rint(weights * (most / top)).astype(int), top / most
    whole, lost = np.empty(PAGE, int), np.zeros(16, np.float32)
    for i in range(0, PAGE, 16):
        wanted = naive.fma(weights[i : i + 16], most / top, lost)
        whole[i : i + 16] = np.rint(wanted).astype(int)
        lost = wanted - np.rint(wanted)
    return whole, top / most
