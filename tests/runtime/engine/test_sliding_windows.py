"""Layers with a window keep the last positions alone, and nothing that a query gets depends on it.

What is compared with is a cache that keeps everything: always `==`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import small_models as small
from hypothesis import given, settings
from hypothesis import strategies as st

from halfbyte.engine import engine as engine_module
from halfbyte.engine import kv_cache
from halfbyte.engine.engine import MAX_BATCH, Engine, Span
from halfbyte.engine.sequence import Sequence
from halfbyte.engine.trace import Tracer
from halfbyte.errors import EngineError
from halfbyte.families.config import ModelConfig
from halfbyte.kernels.layouts.kv_pages import PAGE, KVLayout, WindowedLayout
from halfbyte.kernels.pool import Pool

# All layers; some, with fused matrices; sinks; codes; heads of several numbers, and of two sizes.
NAMES = ("window", "positions", "gpt-oss", "int4", "Laguna", "Gemma4")


@pytest.fixture(params=NAMES)
def model(request: pytest.FixtureRequest, pools: dict[int, Pool]) -> Any:
    return small.build(small.SHAPES[request.param], pools[2])


@pytest.fixture
def little_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A window of 50, and 20 positions before it."""
    monkeypatch.setattr(kv_cache, "_SLACK", 20)
    monkeypatch.setattr(kv_cache, "_LEAST_KEPT", 0)


@pytest.fixture
def engine(model: Any, little_is_kept: None, pools: dict[int, Pool]) -> Iterator[Engine]:
    found = model.engine(pools[2])
    assert isinstance(found.layout, WindowedLayout)
    yield found
    found.close()


@pytest.fixture
def keeping(
    model: Any, pools: dict[int, Pool], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Engine]:
    """An engine that lets nothing go."""

    def whole(config: ModelConfig, kv_type: str, n_ctx: int) -> KVLayout:
        return kv_cache.kv_layout(config, kv_type, 1)

    with monkeypatch.context() as patched:
        patched.setattr(engine_module, "kv_layout", whole)
        found = model.engine(pools[2])
    assert not isinstance(found.layout, WindowedLayout)
    yield found
    found.close()


def is_held(sequence: Sequence) -> list[bool]:
    return [page is not None for page in sequence.kv.windowed]


def test_the_same_bits_as_where_all_is_kept(engine: Engine, keeping: Engine, model: Any) -> None:
    tokens = model.tokens(900)
    chunks = [256, 1, 1, 100, 256, 7, 1, 1, 200, 70, 7]
    expected = small.run(keeping, tokens, chunks)
    watched, at, got = small.Watched(engine.new_sequence()), 0, []
    for n in chunks:
        got.append(watched.run(engine, tokens[at : at + n]))
        at += n
    assert (np.concatenate(got) == expected).all()
    held = is_held(watched.sequence)
    assert not any(held[:5]) and all(held[6:])


@pytest.mark.parametrize("model", ["positions", "int4"], indirect=True)
def test_any_chunks_cuts_and_forks(engine: Engine, keeping: Engine, model: Any) -> None:
    actions = st.lists(
        st.tuples(st.sampled_from("grow cut fork".split()), st.integers(1, 200)), max_size=10
    )

    @given(actions)
    @settings(max_examples=40, deadline=None)
    def check(actions: list[tuple[str, int]]) -> None:
        mine, other, seed = engine.new_sequence(), keeping.new_sequence(), 0
        for what, n in actions:
            at = max(mine.n_past - n, 0)
            if what == "grow" or not mine.n_past:
                if mine.n_past + n > small.N_CTX:
                    continue
                seed += 1
                tokens = model.tokens(n, seed)
                runs = [small.run(one, tokens, [n], s) for one, s in
                        ((engine, mine), (keeping, other))]  # fmt: skip
                assert (runs[0] == runs[1]).all()
            elif at and at < mine.first_cut:
                with pytest.raises(EngineError, match=f"from {mine.first_cut} on"):
                    mine.truncate(at)
            elif what == "cut":
                mine.truncate(at)
                other.truncate(at)
            else:
                mine, other = mine.fork(at), other.fork(at)
            assert mine.n_past == other.n_past

    check()


@pytest.mark.parametrize("model", ["positions"], indirect=True)
def test_it_can_be_cut_back_as_far_as_it_says(engine: Engine, model: Any) -> None:
    tokens = model.tokens(700)
    sequence = engine.new_sequence()
    small.run(engine, tokens, [256, 256, 187, 1], sequence)
    first = sequence.first_cut
    assert 700 - 1 - 20 - PAGE < first <= 700 - 1 - 20  # the last step let go for 699
    fork = sequence.fork(first)
    assert (fork.n_past, is_held(fork)[0]) == (first, False)
    rest = tokens[first:]
    expected = small.run(engine, tokens, [256, 256, 188])[-len(rest) :]
    assert (small.run(engine, rest, [len(rest)], fork) == expected).all()
    sequence.truncate(first)
    assert (small.run(engine, rest, [len(rest)], sequence) == expected).all()
    with pytest.raises(EngineError, match="cut back"):
        sequence.truncate(sequence.first_cut - 1)
    sequence.truncate(0)
    assert (sequence.n_past, sequence.first_cut, sequence.nbytes) == (0, 0, 0)


@pytest.mark.parametrize("model", ["window"], indirect=True)
def test_a_snapshot_outlives_what_goes_on(engine: Engine, model: Any) -> None:
    tokens = model.tokens(800)
    sequence = engine.new_sequence()
    small.run(engine, tokens[:400], [256, 144], sequence)
    snapshot = sequence.snapshot()
    expected = small.run(engine, tokens[400:], [256, 144], sequence)
    sequence.restore(snapshot)
    assert sequence.n_past == 400
    assert (small.run(engine, tokens[400:], [100, 256, 44], sequence) == expected).all()


def test_twenty_windows_take_what_one_does(pools: dict[int, Pool]) -> None:
    """With what is kept of every model: one that has no window of more than 512."""
    shape = small.SHAPES["gpt-oss"]
    engine = small.build(shape, pools[2]).engine(pools[2])
    layout = engine.layout
    assert isinstance(layout, WindowedLayout)
    sequence, most = engine.new_sequence(), 0
    while sequence.n_past + 200 < small.N_CTX:
        engine.forward([Span(sequence, [1] * 200, 0)])
        most = max(most, sum(is_held(sequence)))
        pages = -(-sequence.n_past // PAGE)
        whole, windowed = layout.blocks
        assert sequence.nbytes == engine.pages.nbytes <= layout.nbytes(sequence.n_past)
        assert sequence.nbytes == (
            pages * whole.page_nbytes + sum(is_held(sequence)) * windowed.page_nbytes
        )
    assert most * PAGE <= layout.most == 2 * PAGE + (2 * MAX_BATCH + PAGE) + MAX_BATCH - PAGE
    engine.close()


@pytest.mark.parametrize("model", ["gpt-oss"], indirect=True)
def test_a_trace_looks_at_what_is_seen(engine: Engine, keeping: Engine, model: Any) -> None:
    traces = []
    for one in (engine, keeping):
        tracer = Tracer(one, model.tokens(600), attentions=True, layer_logits=False)
        while not tracer.is_done:
            tracer.step()
        traces.append(tracer.trace)
    mine, other = traces
    assert (mine.logits == other.logits).all() and (mine.attentions == other.attentions).all()


@pytest.mark.parametrize("model", ["positions"], indirect=True)
def test_a_window_as_long_as_the_context_is_none(model: Any) -> None:
    config = model.config
    assert isinstance(kv_cache.kv_layout(config, "f16", 51), WindowedLayout)
    layout = kv_cache.kv_layout(config, "f16", 50)
    assert not isinstance(layout, WindowedLayout) and layout.n_layers == config.n_kv_layers
