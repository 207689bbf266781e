"""Gated delta nets: the kernel against a slow twin, and the same bits however tokens come."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from halfbyte.engine.delta_net_records import delta_places
from halfbyte.engine.stage_words import float_word, stage_words
from halfbyte.families.delta_net_config import DeltaNet
from halfbyte.kernels.layouts.activations import padded
from halfbyte.kernels.layouts.delta_states import work_nbytes
from halfbyte.kernels.stages import delta_net, record
from tests.runtime.engine.delta_twin import DeltaWeights, Rows, gates_in_turn
from tests.runtime.engine.delta_twin import delta_net as twin

F32 = NDArray[np.float32]
# Key heads, value heads, their sizes, taps: whole tiles and less, shared key heads and not.
NETS = {
    "one": DeltaNet(1, 1, 16, 16, 4),
    "shared": DeltaNet(2, 6, 32, 48, 4),
    "tiled": DeltaNet(2, 6, 48, 64, 4, is_tiled=True),
    "two-taps": DeltaNet(3, 3, 16, 32, 2, is_tiled=True),
}
N = 53


@dataclass
class Span:
    """Rows `begin` .. `end` behind a block of states and some tokens of a journal."""

    begin: int
    end: int
    state: F32 | None = None
    kept: F32 | None = None
    n_kept: int = 0
    n_guessed: int = 0
    next: F32 = field(init=False)
    journal: F32 = field(init=False)


class Net:
    """A layer with random weights, and random rows for it."""

    def __init__(self, d: DeltaNet, n: int = N) -> None:
        self.d, rng = d, np.random.default_rng(1)
        draw = rng.standard_normal
        self.w = DeltaWeights(
            draw((d.conv_width, d.n_taps)), -np.exp(draw(d.n_value_heads)),
            draw(d.n_value_heads), 1 + 0.1 * draw(d.value_dim),
        )  # fmt: skip
        heads = (n, d.n_value_heads)
        self.rows = Rows(draw((n, d.conv_width)), draw(heads), draw(heads) - 2,
                         draw((n, d.output_dim)))  # fmt: skip
        self.x = np.zeros((n, d.row_dim), np.float32)
        self.x[:, : d.conv_width] = self.rows.qkv
        if d.is_tiled:
            self.x[:, d.b_at : d.b_at + d.n_value_heads] = self.rows.b
            self.x[:, d.a_at : d.a_at + d.n_value_heads] = self.rows.a
        else:
            both = gates_in_turn(d, self.rows.b, self.rows.a)
            self.x[:, d.b_at : d.b_at + both.shape[1]] = both
        self.x[:, d.z_at : d.z_at + d.output_dim] = self.rows.z
        self.taps = np.zeros((d.n_taps, padded(d.conv_width)), np.float32)
        self.taps[:, : d.conv_width] = self.w.taps.T
        self.vectors = [np.ascontiguousarray(v, np.float32)
                        for v in (self.w.decay, self.w.dt, self.w.norm)]  # fmt: skip

    def words(self, y: F32) -> NDArray[np.int64]:
        d, (decay, dt, norm) = self.d, (v.ctypes.data for v in self.vectors)
        return stage_words(
            record.DELTA_NET, record.CALL, x=self.x.ctypes.data, x_stride=self.x.strides[0],
            y=y.ctypes.data, y_stride=y.strides[0], taps=self.taps.ctypes.data,
            taps_stride=self.taps.strides[0], a=decay, dt=dt, weight=norm,
            eps=float_word(self.w.eps), per_span=d.n_key_heads, token_nbytes=d.row_nbytes,
            **delta_places(d),
        )  # fmt: skip

    def run(self, *spans: Span) -> F32:
        """A step of spans; what it gives (T, output_dim), and `next` and `journal` of each."""
        d, y = self.d, np.zeros((len(self.x), padded(self.d.output_dim)), np.float32)
        places = np.zeros((len(spans), len(record.SPAN)), np.int64)
        for words, span in zip(places, spans, strict=True):
            span.next = aligned(d.state_nbytes // 4)
            span.journal = np.full((span.n_guessed, d.row_nbytes // 4), np.nan, np.float32)
            values = {
                "row": span.begin, "n_rows": span.end - span.begin, "n_kept": span.n_kept,
                "n_certain": span.end - span.begin - span.n_guessed,
                "next": span.next.ctypes.data, "journal": span.journal.ctypes.data,
                "state": 0 if span.state is None else span.state.ctypes.data,
                "kept": 0 if span.kept is None else span.kept.ctypes.data,
            }  # fmt: skip
            for name, value in values.items():
                words[getattr(record.SPAN, name) // 8] = value
        size = work_nbytes(d.key_dim, d.value_dim, d.n_parts, d.n_taps)
        work, step = np.full(size // 4, np.nan, np.float32), np.zeros(len(record.STEP), np.int64)
        step[record.STEP.spans // 8] = places.ctypes.data
        step[record.STEP.work // 8] = work.ctypes.data
        words, n = self.words(y), len(spans) * d.n_key_heads
        for chunk in reversed(range(n)):
            delta_net.delta_net.call(words.ctypes.data, step.ctypes.data, chunk, n)
        return y[:, : d.output_dim]


def aligned(n: int) -> F32:
    """n floats, none a number, from a multiple of 64 bytes, as blocks of states are."""
    memory = np.full(n + 16, np.nan, np.float32)
    begin = -memory.ctypes.data % 64 // 4
    return memory[begin : begin + n]


@pytest.mark.parametrize("name", NETS)
def test_it_is_what_its_equations_say(name: str) -> None:
    net = Net(NETS[name])
    np.testing.assert_allclose(
        net.run(Span(0, N)), twin(net.d, net.w, net.rows), rtol=2e-4, atol=2e-5
    )


@pytest.mark.parametrize("name", NETS)
def test_chunks_and_company_change_nothing(name: str) -> None:
    net = Net(NETS[name], N + 20)
    whole = Span(0, N)
    wanted = net.run(whole)[:N]
    at, state, found = 0, None, []
    for n in (1, 1, 2, 17, 16, 15, 1):
        span = Span(at, at + n, state)
        found.append(net.run(Span(N, N + 19), span, Span(N + 19, N + 20))[at : at + n])
        at, state = at + n, span.next
    assert at == N
    assert (np.concatenate(found) == wanted).all()
    assert (state == whole.next).all()


@pytest.mark.parametrize("n_right", [0, 1, 5, 20])
@pytest.mark.parametrize("name", ["shared", "tiled"])
def test_guesses_that_were_right_are_done_again(name: str, n_right: int) -> None:
    """The block is that before them, and a journal's tokens come before those of the next step."""
    net, whole = Net(NETS[name]), Span(0, N)
    wanted = net.run(whole)
    first = Span(0, 30, n_guessed=20)
    assert (net.run(first)[:30] == wanted[:30]).all()
    before = Span(0, 10)
    net.run(before)
    assert (first.next == before.next).all()
    at = 10 + n_right
    then = Span(at, N, first.next, first.journal, n_right)
    assert (net.run(then)[at:] == wanted[at:]).all()
    assert (then.next == whole.next).all()
    settled = Span(at, at, first.next, first.journal, n_right)  # no rows of its own
    net.run(settled)
    last = Span(at, N, settled.next, n_guessed=N - at)  # nothing but guesses
    assert (net.run(last)[at:] == wanted[at:]).all()
    assert (last.next == settled.next).all()
