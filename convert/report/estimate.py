"""How long a conversion will take on this machine, from a moment's measuring."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from halfbyte.converting.plan import Plan
from halfbyte.kernels.formats.registry import FORMATS
from halfbyte.kernels.quantizers.quantize import quantize
from halfbyte.system import default_threads, set_up_kernels

_SAMPLE_ROWS, _SAMPLE_INPUTS = 128, 4096
_MATMUL = 1024


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds of computing; reading and writing come on top."""

    quantize_s: float
    measure_s: float
    calibrate_s: float


def estimate(plan: Plan) -> Estimate:
    """Estimate a plan's parts; compiles the quantizers that it needs."""
    set_up_kernels()
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((_SAMPLE_ROWS, _SAMPLE_INPUTS), np.float32)
    threads, quantize_s = default_threads().count, 0.0
    for name, (_, weights, _) in plan.formats().items():
        quantize(rows[:1], FORMATS[name])  # compiles
        begin = time.perf_counter()
        quantize(rows, FORMATS[name], threads=threads)
        quantize_s += (time.perf_counter() - begin) / rows.size * weights
    rate = _flops_per_s()
    return Estimate(quantize_s, plan.measuring_flops / rate, plan.calibrating_flops / rate)


def _flops_per_s() -> float:
    """Of NumPy's matrix product in floats, the best of three."""
    a = np.ones((_MATMUL, _MATMUL), np.float32)
    seconds = []
    for _ in range(4):
        begin = time.perf_counter()
        a @ a
        seconds.append(time.perf_counter() - begin)
    return 2.0 * _MATMUL**3 / min(seconds[1:])
