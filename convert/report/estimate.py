"""How long a conversion will take on this machine: parts of the work are done and timed.

They are done with made-up weights of the model's shapes, so nothing is read. What is timed is the
code that converts, on as many threads: a slow or a busy machine is seen as it is.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from statistics import median

import numpy as np
from numpy.typing import NDArray

from halfbyte.converting.calibration.gptq import Hessian, calibrate, inverse_factor
from halfbyte.converting.plan import CALIBRATED_WINDOWS, MEASURED_WINDOWS, Plan
from halfbyte.kernels.formats.block_format import BlockFormat
from halfbyte.kernels.formats.registry import FORMATS
from halfbyte.kernels.pool import Pool
from halfbyte.kernels.quantizers.grids import SUPPORTED
from halfbyte.kernels.quantizers.quantize import dequantize, quantize
from halfbyte.lazy_dataclass import dataclass
from halfbyte.quality.distance import distance, relative_error
from halfbyte.quality.float_model import FloatModel
from halfbyte.quality.texts import N_WINDOW
from halfbyte.system import default_threads, set_up_kernels, start_pool

F32 = NDArray[np.float32]
F16 = NDArray[np.float16]
U8 = NDArray[np.uint8]

# Parts that take a fraction of a second each, on the usual machine.
_SAMPLE_ROWS, _SAMPLE_INPUTS, _SAMPLE_FLOPS = 64, 2048, 3e10
_SAMPLES = 1 << 17, 1 << 21  # weights; slow types say enough with the first
_ENOUGH_S, _LONG_S = 0.05, 0.3


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds of computing; reading and writing come on top."""

    quantize_s: float
    measure_s: float
    calibrate_s: float


def estimate(plan: Plan) -> Estimate:
    """Estimate a plan's parts; compiles the kernels that it needs."""
    set_up_kernels()
    threads = default_threads().count
    quantize_s, read_s = _by_formats(plan, threads)
    layer = _Layer(plan)
    pool = start_pool(threads)
    try:
        calibrate_s = layer.calibrating_s(pool)
    finally:
        pool.close()
    return Estimate(quantize_s, read_s + layer.measuring_s(), quantize_s + calibrate_s)


class _MadeUp:
    """Weights of a plan's shapes; see LayerSource."""

    def __init__(self, plan: Plan) -> None:
        self.config = plan.config
        self._tensors = {tensor.name: tensor for tensor in plan.tensors}

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def tensor(self, name: str) -> F32:
        """Numbers that keep what goes through them at its size."""
        shape = self._tensors[name].shape
        if len(shape) == 1:
            return np.ones(shape, np.float32)
        return _numbers(math.prod(shape[:-1]), shape[-1]).reshape(shape)

    def rows(self, name: str, ids: NDArray[np.int64]) -> F32:
        """As many rows of a tensor as are asked for."""
        return _numbers(ids.size, self._tensors[name].shape[-1]).reshape(*ids.shape, -1)


def _numbers(rows: int, k: int) -> F32:
    some = np.random.default_rng(0).standard_normal(min(rows * k, 1 << 18), np.float32)
    return np.resize(some / np.float32(k**0.5), (rows, k))


def _seconds(work: Callable[..., object], *args: object) -> float:
    """How long a call takes: the median of three, or of fewer that take long."""
    seconds: list[float] = []
    while len(seconds) < 3 and sum(seconds) < _LONG_S:
        begin = time.perf_counter()
        work(*args)
        seconds.append(time.perf_counter() - begin)
    return median(seconds)


def _by_formats(plan: Plan, threads: int) -> tuple[float, float]:
    """Seconds of quantizing all tensors, and of reading them back and comparing them."""
    quantize_s = read_s = 0.0
    for name, (_, weights, _) in plan.formats().items():
        fmt = FORMATS[name]
        k = max((t.shape[-1] for t in plan.tensors if t.format is fmt and len(t.shape) > 1),
                default=fmt.block_size)  # fmt: skip
        for n in _SAMPLES:
            stored = _numbers(min(-(-n // k), -(-weights // k)), k).astype(np.float16)
            _packed(stored[:1], fmt, 1)  # compiles
            seconds = _seconds(_packed, stored, fmt, threads)
            if seconds > _ENOUGH_S:
                break
        share = weights / stored.size
        quantize_s += share * seconds
        packed = _packed(stored, fmt, threads)
        read_s += share * _seconds(_compared, stored, packed, fmt)
    return quantize_s, read_s


def _packed(stored: F16, fmt: BlockFormat, threads: int) -> U8:
    packed = quantize(stored.astype(np.float32), fmt, threads=threads)
    hashlib.sha256(packed.data)
    return packed


def _compared(stored: F16, packed: U8, fmt: BlockFormat) -> None:
    relative_error(stored.astype(np.float32), dequantize(packed, fmt, stored.shape[1]))


class _Layer:
    """A layer of a plan, through which a few windows of made-up states were sent.

    Attributes:
        states: what went in, (B, T, features that are carried).
        seconds: a window's, from the beginning to where each group of matrices gets its inputs, and
            to the end.
        inputs: of each group, (B T, K).
    """

    def __init__(self, plan: Plan) -> None:
        self._plan, self._source = plan, _MadeUp(plan)
        self._model = FloatModel(self._source)
        length = min(N_WINDOW, plan.config.n_ctx_train)
        self._weights = self._model.layer_weights(0)
        n_weights = sum(w.size for w in self._weights.values())
        n_windows = int(np.clip(_SAMPLE_FLOPS / (2.0 * n_weights * length), 1, MEASURED_WINDOWS))
        c = plan.config
        width = self._model.carried.width
        self.states: F32 = _numbers(n_windows * length, width).reshape(n_windows, length, width)
        self.states *= c.dim**0.5
        self._run(self.states[:1, :1])  # what takes long once
        self.seconds, self.inputs = self._run(self.states)

    def _run(self, states: F32) -> tuple[list[float], dict[tuple[str, ...], F32]]:
        begin, seconds, inputs = time.perf_counter(), [], {}
        for names, values in self._model.layer_steps(0, self._weights, states):
            seconds.append(time.perf_counter() - begin)
            if names:
                inputs[names] = values
        return [s / len(states) for s in seconds], inputs

    def measuring_s(self) -> float:
        """Two models' layers and logits, and comparing these."""
        model, c, length = self._model, self._plan.config, self.states.shape[1]
        n = int(np.clip(_SAMPLE_FLOPS / (4.0 * c.vocab_size * c.dim), 2, length))
        x, ids = self.states[:1, :n], np.zeros((1, n), np.int64)
        logits_s = _seconds(lambda: distance(ids, model.logits(x), model.logits(x))) * length / n
        return MEASURED_WINDOWS * (2 * c.n_layers * self.seconds[-1] + logits_s)

    def calibrating_s(self, pool: Pool) -> float:
        """All layers' matrices, with what goes through them before and behind."""
        # The text goes through the layer once for each group, and once at the end.
        layer_s = CALIBRATED_WINDOWS * sum(self.seconds)
        formats = {tensor.name: tensor.format for tensor in self._plan.tensors}
        length = self.states.shape[1]
        for names, inputs in self.inputs.items():
            made = [(self._weights[name], formats[f"blk.0.{name}.weight"]) for name in names]
            layer_s += _group_s(pool, inputs[:length], made)
        total = self._plan.config.n_layers * layer_s
        if "output.weight" in formats:
            made = [(self._source.tensor("output.weight"), formats["output.weight"])]
            total += _group_s(pool, self.states[0, :, : self._plan.config.dim], made)
        return total


def _group_s(pool: Pool, inputs: F32, matrices: Sequence[tuple[F32, BlockFormat]]) -> float:
    """Calibrating matrices that share inputs (T, K)."""
    n = inputs.shape[1]
    full = Hessian(n)
    seconds = CALIBRATED_WINDOWS * _seconds(full.add, inputs)
    k = min(n, _SAMPLE_INPUTS)
    hessian = Hessian(k)
    hessian.sum = np.ascontiguousarray(full.sum[:k, :k])
    for fmt in {fmt for _, fmt in matrices}:
        alike = [w for w, other in matrices if other is fmt]
        rows = alike[0][:_SAMPLE_ROWS, :k]
        calibrate(pool, rows[:1, : fmt.block_size], Hessian(fmt.block_size), fmt)  # compiles
        is_searched = fmt.name in SUPPORTED
        factor_s = _seconds(inverse_factor, hessian.damped()) if is_searched else 0.0
        rows_s = max(_seconds(calibrate, pool, rows, hessian, fmt) - factor_s, 0.0)
        seconds += rows_s * sum(map(len, alike)) / len(rows) * (n / k) ** 2
        seconds += len(alike) * factor_s * (n / k) ** 3
    return seconds
