"""The Hadamard transform of a head, by blocks of a power of two: it spreads what stands out.

A few features of keys are many times larger than the others, which leaves few steps of a common
scale to these. Rotated (QuaRot: Ashkboos et al., arXiv:2404.00456), all features are of a size.
Scores do not change when queries and keys are rotated alike, and sums of rotated values are rotated
back. The transform is its own inverse.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir

from halfbyte.kernels.compiler.jit import device
from halfbyte.kernels.vectors import emit
from halfbyte.kernels.vectors.emit import LANES, V_F32, emits, pack, unpack
from halfbyte.kernels.vectors.simd import F32x16, add, load, mul, splat, store, sub


@emits(F32x16(F32x16))
def _butterflies(b: Any, x: Any) -> Any:
    """The transform of one vector's 16 lanes, unscaled."""
    (x,) = unpack(b, x)
    for half in (1, 2, 4, 8):
        lanes = range(LANES)
        other = emit.shuffle(b, x, x, [i ^ half for i in lanes])
        signs = ir.Constant(V_F32, [-1.0 if i & half else 1.0 for i in lanes])
        x = b.fadd(other, b.fmul(x, signs))
    return pack(b, [x])


@device
def rotate_head(x, d):
    """Transform d floats in place, as many at a time as the power of two that divides d."""
    n = (d & -d) // 16
    scale = np.float32(1) / np.sqrt(np.float32(16 * n))
    for begin in range(0, d // 16, n):
        at = x + 64 * begin
        for i in range(n):
            store(at + 64 * i, mul(_butterflies(load(at + 64 * i)), splat(scale)))
        half = 1
        while half < n:
            for i in range(n):
                if i & half == 0:
                    low, high = load(at + 64 * i), load(at + 64 * (i + half))
                    store(at + 64 * i, add(low, high))
                    store(at + 64 * (i + half), sub(low, high))
            half *= 2
