"""What each stage takes of a step: the forward pass in parts, timed one by one.

The parts are those of the model's own program (program.py): the stages of one kind, layer after
layer as in a step, so that what comes from memory there comes from memory here. What a step takes
beyond its parts are the gaps between the stages.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from halfbyte.engine.buffers import MAX_BATCH
from halfbyte.engine.engine import Engine, Span
from halfbyte.engine.kv_cache import KVCache
from halfbyte.families.delta_net import DeltaRule
from halfbyte.families.expert_stages import AddGated, ExpertsStage, Route
from halfbyte.families.latent_stages import Compress
from halfbyte.families.mamba2 import GroupNorms, Scan
from halfbyte.families.short_conv import Convolve
from halfbyte.families.stages import (
    Attend,
    Embed,
    GateAttended,
    Norm,
    PostNorm,
    Project,
    Rope,
    RowNorms,
    Stage,
)
from halfbyte.kernels.layouts.kv_pages import PAGE
from halfbyte.kernels.limits.bandwidth import read_bandwidth
from halfbyte.kernels.limits.int8_peak import int8_peak
from halfbyte.lazy_dataclass import dataclass

DEPTHS = (1024, 4096)
_MAX_CACHE_NBYTES = 1 << 30
_ATTENTION = "attention after 0"
_MIN_RUNS, _MIN_S = 3, 0.1
# Stages without matrices.
_NAMES: dict[type[Stage], str] = {
    Rope: "RoPE, append to the cache",
    Compress: "norm, RoPE, append to the cache",
    Embed: "embedding",
    Norm: "norm, quantize",
    PostNorm: "norm, add",
    RowNorms: "norms of queries and keys",
    GateAttended: "gates of attention",
    Route: "choice of experts",
    AddGated: "gate of the shared expert",
    Convolve: "short convolutions",
    Scan: "Mamba-2's states",
    GroupNorms: "norms of groups",
    DeltaRule: "gated delta nets",
}


@dataclass(frozen=True, slots=True)
class Op:
    """A part of a step: `count` stages take `seconds` in all.

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
    """Time every part of a step of a model that nobody else uses meanwhile."""
    n_prompt = min(MAX_BATCH, engine.n_ctx)
    return Report(
        _phase(engine, 1),
        _phase(engine, n_prompt),
        read_bandwidth(engine.pool),
        int8_peak(engine.pool),
    )


def _phase(engine: Engine, n_tokens: int) -> Phase:
    kinds: dict[str, list[Stage]] = {}
    for stage, _ in engine.program.stages:
        # A single token's rows are prepared where they are used.
        if n_tokens > 1 or not isinstance(stage, (Norm, Rope)):
            kinds.setdefault(_name(engine, stage), []).append(stage)
    parts = [_timed(engine, name, stages, n_tokens, 0) for name, stages in kinds.items()]
    step_s = _seconds(engine, (stage for stage, _ in engine.program.stages), n_tokens, 0)
    deep = []
    for depth in DEPTHS:
        n_positions = depth + n_tokens
        if n_positions <= engine.n_ctx and engine.layout.nbytes(n_positions) <= _MAX_CACHE_NBYTES:
            name = f"attention after {depth}"
            deep.append(_timed(engine, name, kinds[_ATTENTION], n_tokens, depth))
    flat = next(part.seconds for part in parts if part.name == _ATTENTION)
    ops = [part.op(step_s) for part in parts]
    ops += [part.op(step_s - flat + part.seconds) for part in deep]
    return Phase(n_tokens, step_s, ops, step_s - sum(part.seconds for part in parts))


def _name(engine: Engine, stage: Stage) -> str:
    """What stages that are timed together are called."""
    if isinstance(stage, Attend):
        return _ATTENTION
    if type(stage) in _NAMES:
        return _NAMES[type(stage)]
    names, end = stage.packed, ""
    found = [engine.weights.matrices[stage.tensor(name)] for name in names]
    if isinstance(stage, ExpertsStage):
        names = stage.in_memory
        experts = [engine.weights.experts[stage.tensor(name)] for name in names]
        found, end = [one.first for one in experts], f", {experts[0].n_used} of {experts[0].n}"
    rows, formats = "+".join(str(m.n_rows) for m in found), {m.format.name: None for m in found}
    return f"{', '.join(names)}: {rows} x {found[0].n_inputs} {' '.join(formats)}{end}"


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


def _timed(engine: Engine, name: str, stages: list[Stage], n_tokens: int, depth: int) -> _Part:
    seconds = _seconds(engine, stages, n_tokens, depth)
    nbytes = macs = None
    matrices = [
        engine.weights.matrices[stage.tensor(name)] for stage in stages for name in stage.packed
    ]
    experts = [engine.weights.experts[stage.tensor(name)] for stage in stages
               if isinstance(stage, ExpertsStage) for name in stage.in_memory]  # fmt: skip
    if experts:
        # A token's experts are others than the next one's; how many a prompt needs is not known.
        each = [one.first for one in experts for _ in range(one.n_used)]
        nbytes = float(sum(m.nbytes for m in each)) if n_tokens == 1 else None
        macs = float(n_tokens * sum(m.n_rows * m.n_inputs for m in each))
    elif matrices:
        of_logits = isinstance(stages[0], Project) and stages[0].to == "logits"
        n = 1 if of_logits else n_tokens
        nbytes = float(sum(m.nbytes for m in matrices))
        macs = float(n * sum(m.n_rows * m.n_inputs for m in matrices))
    elif isinstance(stages[0], Attend):
        layers = [stage.layer for stage in stages]
        nbytes, macs = _attention_work(engine, layers, n_tokens, depth)
    return _Part(name, len(experts) or len(matrices) or len(stages), seconds, nbytes, macs)


def _attention_work(
    engine: Engine, layers: Sequence[int], n_tokens: int, depth: int
) -> tuple[float | None, float]:
    """Bytes of cache that a single token reads, and multiply-adds."""
    c, nbytes, macs = engine.config, 0.0, 0.0
    past = range(depth + 1, depth + n_tokens + 1)
    for layer in layers:
        seen = sum(min(n, c.window(layer) or n) for n in past)
        _, layout = engine.layout.place(c.kv_slot(layer))
        nbytes += seen * layout.n_kv_heads * layout.head_nbytes / PAGE
        macs += 2.0 * seen * c.q_dim_of(layer)
    return nbytes if n_tokens == 1 else None, macs


def _seconds(engine: Engine, stages: Iterable[Stage], n_tokens: int, depth: int) -> float:
    """Seconds of some stages of a step after `depth` positions, one row of logits wanted."""
    wanted = set(stages)
    part = engine.program.part(item for item in engine.program.stages if item[0] in wanted)
    sequence = engine.new_sequence()
    for begin in range(0, depth, MAX_BATCH):  # as a prompt comes, of which windows let go
        n = min(MAX_BATCH, depth - begin)
        sequence.reserve(n)
        sequence.append(n)
    sequence.reserve(n_tokens)
    _fill(sequence.kv)
    return _median_s(engine.repeat([Span(sequence, [1] * n_tokens, 1)], part))


def _fill(kv: KVCache) -> None:
    """Write all pages once: memory that never was is read too fast."""
    for page in (*kv.pages, *kv.windowed):
        if page is not None:
            page.data[:] = 0


def _median_s(run: Callable[[], None]) -> float:
    """Seconds of a call, after one that does not count."""
    run()
    seconds: list[float] = []
    while len(seconds) < _MIN_RUNS or sum(seconds) < _MIN_S:
        begin = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begin)
    return float(np.median(seconds))
