"""What each kernel takes of a step: the forward pass in parts, timed one by one.

Every kernel runs on the model's own weights, layer after layer as in a step, so that what comes
from memory there comes from memory here. The activations are zeros, which cost as much as others.
What a step takes beyond its parts are the embedding, SiLU and the gaps between the stages.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from halfbyte.engine.engine import MAX_BATCH, Engine, Span
from halfbyte.engine.weights import Matrix
from halfbyte.kernels import ops
from halfbyte.kernels.compiler.jit import Kernel
from halfbyte.kernels.layouts.activations import BLOCK, RECORD_NBYTES, padded
from halfbyte.kernels.layouts.kv_pages import PAGE
from halfbyte.kernels.layouts.panels import n_panels
from halfbyte.kernels.limits.bandwidth import read_bandwidth
from halfbyte.kernels.limits.int8_peak import int8_peak
from halfbyte.kernels.products.matmul import NARROW, matmul_kernel, ways
from halfbyte.kernels.stages import attention
from halfbyte.kernels.stages.rope import rope_append_kernel

DEPTHS = (1024, 4096)
_MAX_CACHE_NBYTES = 1 << 30
_MIN_RUNS, _MIN_S = 3, 0.1


@dataclass(frozen=True, slots=True)
class Op:
    """A kernel's part of a step: `count` calls take `seconds` in all.

    gb_s are the bytes of weights or cache that it reads, gmac_s its multiply-adds; either is None
    where it says nothing. `share` is the part of a step, at the depth where there is one.
    """

    name: str
    count: int
    seconds: float
    share: float
    gb_s: float | None = None
    gmac_s: float | None = None


@dataclass(frozen=True, slots=True)
class Phase:
    """A step of `n_tokens` from an empty cache, and its parts; the rest is what they lack."""

    n_tokens: int
    seconds: float
    ops: list[Op]
    rest_s: float


@dataclass(frozen=True, slots=True)
class Report:
    """Both phases, and the limits in bytes and int8 multiply-adds per second."""

    decode: Phase
    prefill: Phase
    read_bandwidth: float
    int8_peak: float


def measure(engine: Engine) -> Report:
    """Time every kernel of a model that nobody else uses meanwhile."""
    n_prompt = min(MAX_BATCH, engine.n_ctx)
    return Report(
        _phase(engine, 1),
        _phase(engine, n_prompt),
        read_bandwidth(engine.pool),
        int8_peak(engine.pool),
    )


def _phase(engine: Engine, n_tokens: int) -> Phase:
    parts, at_depths = _Parts(engine, n_tokens), []
    made = [*parts.products(), parts.norms(), parts.ropes(), parts.attentions(0)]
    for depth in DEPTHS:
        n_positions = depth + n_tokens
        if n_positions <= engine.n_ctx and engine.layout.nbytes(n_positions) <= _MAX_CACHE_NBYTES:
            at_depths.append(parts.attentions(depth))
    step_s = _step_s(engine, n_tokens)
    flat = made[-1].seconds
    whole = [part.op(step_s) for part in made]
    deep = [part.op(step_s - flat + part.seconds) for part in at_depths]
    return Phase(n_tokens, step_s, [*whole, *deep], step_s - sum(part.seconds for part in made))


def _step_s(engine: Engine, n_tokens: int) -> float:
    """Seconds of a whole step from an empty cache, one row of logits included."""

    def run() -> None:
        engine.forward([Span(engine.new_sequence(), [1] * n_tokens, 1)])

    return _median_s(run)


def _median_s(run: Callable[[], None]) -> float:
    """Seconds of a call, after one that does not count."""
    run()
    seconds: list[float] = []
    while len(seconds) < _MIN_RUNS or sum(seconds) < _MIN_S:
        begin = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begin)
    return float(np.median(seconds))


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    count: int
    seconds: float
    nbytes: float | None = None
    macs: float | None = None

    def op(self, step_s: float) -> Op:
        gb_s = None if self.nbytes is None else self.nbytes / self.seconds / 1e9
        gmac_s = None if self.macs is None else self.macs / self.seconds / 1e9
        return Op(self.name, self.count, self.seconds, self.seconds / step_s, gb_s, gmac_s)


class _Parts:
    """The kernels of a step of n tokens, with buffers of their own."""

    def __init__(self, engine: Engine, n_tokens: int) -> None:
        self._engine, self._config, self._n = engine, engine.config, n_tokens
        c = engine.config
        matrices = engine.weights.matrices.values()
        widest = max(padded(max(m.n_inputs, m.n_rows)) for m in matrices) + 64
        # Kernels read up to a tile of tokens more than there are.
        rows = n_tokens + 16
        self._x, self._y = (_buffer(4 * widest * rows) for _ in range(2))
        self._records = _buffer(widest // BLOCK * rows * RECORD_NBYTES)
        self._group = c.n_heads // c.n_kv_heads
        self._head = (
            engine.layout.kv_type, c.head_dim, engine.layout.value_dim, self._group
        )  # fmt: skip
        self._sequence = engine.new_sequence()

    def products(self) -> Iterator[_Part]:
        """The matrices, together where shape and type are the same; the output for one token."""
        kinds: dict[tuple[str, int, int, bool], dict[str, list[Matrix]]] = {}
        matrices = self._engine.weights.matrices
        inner = [(name.split(".")[2], m) for name, m in matrices.items() if name[:4] == "blk."]
        for kind, m in [*inner, ("output", self._engine.weights.output)]:
            key = (m.format.name, m.n_rows, m.n_inputs, kind == "output")
            kinds.setdefault(key, {}).setdefault(kind, []).append(m)
        for (fmt, n_rows, n_inputs, is_output), members in kinds.items():
            same = [m for found in members.values() for m in found]
            n = 1 if is_output else self._n
            name = f"{', '.join(members)}: {n_rows} x {n_inputs} {fmt}"
            nbytes = float(sum(m.nbytes for m in same))
            macs = float(n * n_rows * n_inputs * len(same))
            yield _Part(name, len(same), self._products_s(same, n), nbytes, macs)

    def _products_s(self, same: Sequence[Matrix], n: int) -> float:
        fmt, n_inputs = same[0].format, same[0].n_inputs
        function = matmul_kernel(fmt.name, NARROW if n == 1 else ways(fmt.name)[-1]).address
        table = np.array(
            [[function, m.address, n_panels(m.n_rows), fmt.n_units(n_inputs)] for m in same],
            np.int64,
        )
        x, x_stride = self._records, n * RECORD_NBYTES
        if not fmt.is_quantized:
            x, x_stride = self._x, 4 * padded(n_inputs)
        return self._time(
            ops.products, ops.PRODUCTS, matrices=_at(table), n=len(same),
            max_chunks=self._engine.max_chunks(n), x=_at(x),
            x_stride=x_stride, n_tokens=n, y=_at(self._y),
            y_stride=64 * n_panels(same[0].n_rows),
        )  # fmt: skip

    def norms(self) -> _Part:
        """RMSNorm and quantization before q, k, v and before gate and up."""
        c, count = self._config, 2 * self._config.n_layers
        seconds = self._time(
            ops.norms, ops.NORMS, n=count, n_rows=self._n, x=_at(self._x),
            x_stride=4 * padded(c.dim), dim=c.dim,
            weight=self._engine.weights.vectors["output_norm.weight"],
            eps=int(np.float32(c.norm_eps).view(np.int32)), normed=_at(self._y),
            records=_at(self._records),
        )  # fmt: skip
        return _Part("RMSNorm, quantize", count, seconds)

    def ropes(self) -> _Part:
        """Rotary embedding, and appending to the cache."""
        c, layout = self._config, self._engine.layout
        self._reserve(self._n)
        width = c.head_dim * (c.n_heads + 2 * c.n_kv_heads)
        qkv, table = _buffer(4 * width * self._n), _buffer(4 * c.head_dim * self._n)
        seconds = self._time(
            ops.ropes, ops.ROPES, n=c.n_layers, n_tokens=self._n,
            kernel=rope_append_kernel(*self._head).address, n_kv_heads=c.n_kv_heads,
            group=self._group, head_dim=c.head_dim, qkv=_at(qkv), qkv_stride=4 * width,
            table=_at(table), position=0, pages=self._sequence.page_addresses,
            head_nbytes=layout.head_nbytes,
        )  # fmt: skip
        return _Part("RoPE, append to the cache", c.n_layers, seconds)

    def attentions(self, depth: int) -> _Part:
        """Attention after `depth` positions."""
        c, layout, engine = self._config, self._engine.layout, self._engine
        self._reserve(depth + self._n)
        n_splits, first = engine.page_splits(depth) if self._n == 1 else (1, 0)
        partial_nbytes = attention.partial_nbytes(layout.value_dim, self._group)
        partials = _buffer((depth // PAGE + 1) * c.n_kv_heads * partial_nbytes)
        scratch_nbytes = 4 * attention.scratch_floats(layout.value_dim)
        scratch, head = _buffer(scratch_nbytes * engine.pool.n_threads), self._head
        width = 4 * self._group * c.head_dim
        q, out = (_buffer(width * c.n_kv_heads * self._n) for _ in range(2))
        seconds = self._time(
            ops.attentions, ops.ATTENTIONS, n=c.n_layers, n_tokens=self._n,
            kernel=attention.attention_kernel(*head, c.sliding_window).address,
            n_kv_heads=c.n_kv_heads, width=width, block=attention.query_block(self._group),
            q=_at(q), stride=width * c.n_kv_heads, position=depth,
            pages=self._sequence.page_addresses, head_nbytes=layout.head_nbytes, out=_at(out),
            scratch=_at(scratch), scratch_stride=scratch_nbytes, n_splits=n_splits,
            pages_kernel=attention.pages_kernel(*head, c.sliding_window).address,
            merge_kernel=attention.merge_kernel(*head[1:], c.sliding_window).address,
            partials=_at(partials), partial_nbytes=partial_nbytes, first_page=first,
        )  # fmt: skip
        seen = [min(depth + i + 1, c.sliding_window or depth + i + 1) for i in range(self._n)]
        macs = 2.0 * c.n_layers * c.n_heads * c.head_dim * sum(seen)
        one = 2 * c.n_layers * c.n_kv_heads * c.head_dim * layout.element_nbytes
        nbytes = float(one * seen[0]) if self._n == 1 else None
        return _Part(f"attention after {depth}", c.n_layers, seconds, nbytes, macs)

    def _reserve(self, n_positions: int) -> None:
        """Pages for so many positions, written once: memory that never was is read too fast."""
        self._sequence.reserve(n_positions)
        pages = -(-n_positions // PAGE)
        addresses = (ctypes.c_int64 * pages).from_address(self._sequence.page_addresses)
        for address in addresses:
            ctypes.memset(address, 0, self._engine.layout.page_nbytes)

    def _time(self, job: Kernel, names: Sequence[str], **values: int) -> float:
        args = np.array([values[name] for name in names], np.int64)
        return _median_s(lambda: self._engine.pool.run(job, args))


def _buffer(nbytes: int) -> NDArray[np.int64]:
    """Zeros that have been written."""
    return np.full(nbytes // 8 + 32, 0, np.int64)


def _at(buffer: NDArray[np.int64]) -> int:
    return int(buffer.ctypes.data)
