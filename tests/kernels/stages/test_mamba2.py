"""Mamba-2's kernels against float64, and against themselves: chunks, company, replays."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from halfbyte.engine.stage_words import float_word, stage_words
from halfbyte.kernels.stages import group_norms, mamba2, mamba2_inputs, record

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


def _aligned(n: int, value: float = 0.0) -> F32:
    """n floats at a multiple of 64 bytes."""
    memory = np.full(n + 16, value, np.float32)
    return memory[-(memory.ctypes.data // 4) % 16 :][:n]


def _up(n: int) -> int:
    return -(-n // 16) * 16


@dataclass
class Span:
    """Some rows of a sequence, guesses at their end; its block before, and what is done again."""

    rows: F32
    state: F32 | None = None
    kept: F32 | None = None
    n_kept: int = 0
    n_guessed: int = 0


@dataclass
class Layer:
    """A layer of random numbers, at some offsets in blocks and journals."""

    n_heads: int
    head_dim: int
    n_state: int
    n_groups: int
    n_taps: int = 4
    limits: tuple[float, float] = (0.0, np.inf)
    arrays: dict[str, F32] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.n_heads)
        self.inner = self.n_heads * self.head_dim
        self.width = self.inner + 2 * self.n_groups * self.n_state
        self.row = self.inner + self.width + self.n_heads
        taps = _aligned((self.n_taps + 1) * (_up(self.width) + 32)).reshape(self.n_taps + 1, -1)
        taps[:, : self.width] = rng.normal(0, 0.6, (self.n_taps + 1, self.width))
        self.arrays |= {"taps": taps[:-1], "bias": taps[-1]}
        for name, values in (
            ("a", -rng.uniform(0.5, 6, self.n_heads)), ("d", rng.normal(1, 0.3, self.n_heads)),
            ("dt_bias", rng.normal(-2, 1, self.n_heads)),
        ):  # fmt: skip
            self.arrays[name] = _aligned(_up(self.n_heads))
            self.arrays[name][: self.n_heads] = values
        self.state_at, self.kept_at = 32, 48  # floats
        self.block = self.state_at + (self.n_taps - 1) * _up(self.width)
        self.block += self.n_heads * self.n_state * _up(self.head_dim)
        self.token = self.kept_at + _up(self.width + self.n_heads) + 16

    def inputs(self, n: int, seed: int = 0) -> F32:
        """Rows [z, x, B, C, dt], in which padding is no number."""
        made = np.full((n, _up(self.row) + 32), np.nan, np.float32)
        made[:, : self.row] = np.random.default_rng(seed).normal(0, 1.5, (n, self.row))
        return made

    def run(self, *spans: Span) -> list[tuple[F32, F32, F32]]:
        """What one step gives each: outputs, the block that is written, the journal."""
        x = np.concatenate([span.rows for span in spans])
        y = np.zeros((len(x), self.inner), np.float32)
        made, words, at = [], [], 0
        for span in spans:
            n = len(span.rows)
            block, kept = _aligned(self.block, 7.0), _aligned((n + 1) * self.token, np.nan)
            before, again = (0 if one is None else one.ctypes.data
                             for one in (span.state, span.kept))  # fmt: skip
            words.append([at, n, before, block.ctypes.data, again, span.n_kept,
                          kept.ctypes.data, n - span.n_guessed])  # fmt: skip
            made.append((y[at : at + n], block, kept))
            at += n
        table = np.array(words, np.int64)
        n_part = mamba2_inputs.heads_of_part(self.n_heads, self.n_groups)
        per_span = self.n_heads // n_part
        shape = (self.n_heads, self.head_dim, self.n_state, self.n_groups)
        work = _aligned(mamba2_inputs.work_nbytes(*shape) // 4, np.nan)
        step = np.zeros(len(record.STEP), np.int64)
        for name, value in (("spans", table.ctypes.data), ("n_spans", len(spans)),
                            ("work", work.ctypes.data), ("n_tokens", at)):  # fmt: skip
            step[getattr(record.STEP, name) // 8] = value
        stage = self._words(x, y, n_part, per_span)
        for chunk in range(len(spans) * per_span)[::-1]:
            mamba2.scan.call(stage.ctypes.data, step.ctypes.data, chunk, len(spans) * per_span)
        return made

    def _words(self, x: F32, y: F32, n_part: int, per_span: int) -> Any:
        addresses = {name: values.ctypes.data for name, values in self.arrays.items()}
        return stage_words(
            record.MAMBA2, record.CALL, per_span=per_span, x=x.ctypes.data, x_stride=x.strides[0],
            state_at=4 * self.state_at, kept_at=4 * self.kept_at, token_nbytes=4 * self.token,
            n_heads=self.n_heads, head_dim=self.head_dim, n_state=self.n_state,
            n_groups=self.n_groups, n_part=n_part, n_taps=self.n_taps,
            taps_stride=self.arrays["taps"].strides[0], dt_low=float_word(self.limits[0]),
            dt_high=float_word(self.limits[1]), y=y.ctypes.data, y_stride=y.strides[0], **addresses,
        )  # fmt: skip

    def exact(self, rows: F32) -> F64:
        """The same in float64, from the beginning of a sequence."""
        z, x, dt = np.split(rows[:, : self.row].astype(np.float64),
                            [self.inner, self.inner + self.width], axis=1)  # fmt: skip
        w = {name: values.astype(np.float64) for name, values in self.arrays.items()}
        conv = np.concatenate([w["taps"], w["bias"][None]])[:, : self.width]
        before = np.concatenate([np.zeros((self.n_taps - 1, self.width)), x])
        x = conv[-1] + sum(conv[k] * before[k : k + len(x)] for k in range(self.n_taps))
        x, b, c = np.split(_silu(x), [self.inner, self.inner + self.n_groups * self.n_state], 1)
        dt = np.clip(np.log1p(np.exp(dt + w["dt_bias"][: self.n_heads])), *self.limits)
        x = x.reshape(len(x), self.n_heads, -1)
        b, c = (y.reshape(len(x), self.n_groups, -1).repeat(self.n_heads // self.n_groups, 1)
                for y in (b, c))  # fmt: skip
        h, out = np.zeros((self.n_heads, self.n_state, self.head_dim)), []
        for t in range(len(x)):
            h = h * np.exp(dt[t] * w["a"][: self.n_heads])[:, None, None]
            h = h + b[t][:, :, None] * (dt[t][:, None] * x[t])[:, None]
            out.append(np.einsum("hn,hnp->hp", c[t], h) + w["d"][: self.n_heads, None] * x[t])
        return np.array(out).reshape(len(x), -1) * _silu(z)


def _silu(x: F64) -> F64:
    return x / (1 + np.exp(-x))


# Heads that fill no vector, one and a half, five; groups of one head, of some, of all.
LAYERS = {
    "small": Layer(6, 8, 12, 3),
    "one-head-a-group": Layer(4, 24, 16, 4, n_taps=2),
    "wide": Layer(16, 80, 32, 1, limits=(0.05, 0.4)),
    "Nemotron": Layer(16, 64, 128, 2),
    "odd": Layer(9, 20, 7, 1, n_taps=3),
}


@pytest.fixture(params=LAYERS)
def layer(request: pytest.FixtureRequest) -> Layer:
    return LAYERS[request.param]


def test_close_to_float64(layer: Layer) -> None:
    rows = layer.inputs(50)
    ((got, _, _),) = layer.run(Span(rows))
    exact = layer.exact(rows)
    assert np.abs(got - exact).max() / np.abs(exact).max() < 2e-6


def test_chunks_and_company_change_nothing(layer: Layer) -> None:
    rows, other = layer.inputs(41), layer.inputs(9, 1)
    ((whole, block, _),) = layer.run(Span(rows))
    state, parts = None, []
    for begin, end in ((0, 1), (1, 3), (3, 21), (21, 41)):
        *_, (part, state, _) = layer.run(Span(other, state), Span(rows[begin:end], state))
        parts.append(part)
    assert (np.concatenate(parts) == whole).all()
    assert (state[layer.state_at :] == block[layer.state_at :]).all()
    assert (state[: layer.state_at] == 7).all()


@pytest.mark.parametrize(
    ("n_before", "n_sure", "n_kept"), [(10, 1, 2), (10, 0, 0), (2, 3, 18), (0, 0, 1), (0, 1, 0)]
)
def test_right_guesses_are_done_again(
    layer: Layer, n_before: int, n_sure: int, n_kept: int
) -> None:
    rows, guesses, before = layer.inputs(40), layer.inputs(18, 1), None
    at = n_before + n_sure
    guesses[:n_kept] = rows[at : at + n_kept]
    ((whole, block, _),) = layer.run(Span(rows))
    if n_before:
        ((_, before, _),) = layer.run(Span(rows[:n_before]))
    asked = np.concatenate([rows[n_before:at], guesses])
    ((first, state, journal),) = layer.run(Span(asked, before, n_guessed=len(guesses)))
    assert (first[: n_sure + n_kept] == whole[n_before : at + n_kept]).all()
    ((rest, after, _),) = layer.run(Span(rows[at + n_kept :], state, journal, n_kept))
    assert (rest == whole[at + n_kept :]).all()
    assert (after[layer.state_at :] == block[layer.state_at :]).all()


@pytest.mark.parametrize(("n_groups", "width"), [(1, 80), (4, 32), (3, 20)])
def test_norms_of_groups(n_groups: int, width: int) -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(0, 2, (7, n_groups * width)).astype(np.float32)
    weight = rng.normal(1, 0.2, n_groups * width).astype(np.float32)
    groups = y.astype(np.float64).reshape(7, n_groups, width)
    wanted = groups / np.sqrt((groups**2).mean(-1, keepdims=True) + 1e-5)
    step = np.zeros(len(record.STEP), np.int64)
    step[record.STEP.n_tokens // 8] = 7
    words = stage_words(
        record.GROUPS, record.CALL, y=y.ctypes.data, y_stride=y.strides[0], n_groups=n_groups,
        dim=width, weight=weight.ctypes.data, eps=float_word(1e-5),
    )  # fmt: skip
    for chunk in range(4):
        group_norms.norm_groups.call(words.ctypes.data, step.ctypes.data, chunk, 4)
    np.testing.assert_allclose(y, wanted.reshape(7, -1) * weight, rtol=3e-6)
