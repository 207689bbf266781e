"""A window that was asked for, with sinks: against float64, and always with the same bits.

What is compared with is the paper's definition (small_models/forward.py), which gives what is seen
new positions and rotates it anew, where the engine keeps rotated keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import small_models as small

from halfbyte.engine import kv_cache
from halfbyte.engine.engine import Engine, Span
from halfbyte.engine.trace import Tracer
from halfbyte.errors import EngineError
from halfbyte.families.attention_window import with_window
from halfbyte.kernels.layouts.kv_pages import PAGE, WindowedLayout
from halfbyte.kernels.pool import Pool

WINDOW, SINKS = 150, 4
# Groups of 3 and 2, neighbours and norms; codes; with windows of its own, positions of all kinds,
# heads of two sizes and keys that layers share, sinks that are logits.
EXACT = ("F32", "Qwen3", "Cohere2", "positions", "Gemma4", "gpt-oss")
NAMES = (*EXACT, "int8", "F32-f16-cache")


def build(name: str, pool: Pool, window: int = WINDOW, sinks: int = SINKS) -> Any:
    model = small.build(small.SHAPES[name], pool)
    return replace(model, config=with_window(model.config, window, sinks))


@pytest.fixture(autouse=True)
def little_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """20 positions before a window."""
    monkeypatch.setattr(kv_cache, "_SLACK", 20)
    monkeypatch.setattr(kv_cache, "_LEAST_KEPT", 0)


@pytest.fixture(params=NAMES)
def model(request: pytest.FixtureRequest, pools: dict[int, Pool]) -> Any:
    return build(request.param, pools[2])


@pytest.fixture
def engine(model: Any, pools: dict[int, Pool]) -> Iterator[Engine]:
    found = model.engine(pools[2])
    yield found
    found.close()


def without(model: Any) -> Any:
    return replace(model, config=replace(model.config, attention_window=0, attention_sinks=0))


@pytest.mark.parametrize("model", EXACT, indirect=True)
def test_as_the_paper_has_it(engine: Engine, model: Any) -> None:
    tokens = model.tokens(400)
    got = small.run(engine, tokens, [256, 1, 100, 43])
    exact = small.reference_logits(model, tokens)
    assert np.abs(got - exact).max() / np.abs(exact).max() < 1e-5
    off = np.abs(small.reference_logits(without(model), tokens) - exact).max(-1)
    assert (off[: WINDOW + SINKS] == 0).all() and off[-1] > 1e-3


def test_the_same_bits_whatever_a_step_is(model: Any, pools: dict[int, Pool]) -> None:
    tokens, n_exact = model.tokens(560), WINDOW + SINKS
    chunks = [
        [256, 256, 48],
        [n_exact - 1, 1, 1, 1, 200, 130, 7, *[1] * 20, 47],
        [100, 100, 3, 256, *[1] * 5, 96],
    ]
    found = []
    for n_threads, sizes in enumerate(chunks, 1):
        engine = model.engine(pools[n_threads])
        watched, at, rows = small.Watched(engine.new_sequence()), 0, []
        for n in sizes:
            rows.append(watched.run(engine, tokens[at : at + n]))
            at += n
        found.append(np.concatenate(rows))
        engine.close()
        assert np.isfinite(found[-1]).all()
        assert (found[-1] == found[0]).all(), n_threads


def test_what_fits_is_as_without_a_window(
    engine: Engine, model: Any, pools: dict[int, Pool]
) -> None:
    tokens = model.tokens(WINDOW + SINKS + 1)
    plain = without(model).engine(pools[2])
    got, expected = (small.run(one, tokens, [100, 54, 1]) for one in (engine, plain))
    assert (got[:-1] == expected[:-1]).all() and (got[-1] != expected[-1]).any()
    plain.close()


@pytest.mark.parametrize("model", ["F32", "positions"], indirect=True)
def test_beside_others_that_are_elsewhere(engine: Engine, model: Any) -> None:
    lengths = (10, WINDOW + SINKS - 2, WINDOW + SINKS, 700)
    prompts = [model.tokens(n + 4, seed=n) for n in lengths]
    alone = [small.run(engine, one, [n, *[1] * 4] if n < 256 else [256, 256, n - 512, *[1] * 4])
             for one, n in zip(prompts, lengths, strict=True)]  # fmt: skip
    sequences = [engine.new_sequence() for _ in prompts]
    for sequence, prompt, n in zip(sequences, prompts, lengths, strict=True):
        small.run(engine, prompt[:n], [min(256, n - i) for i in range(0, n, 256)], sequence)
    for i in range(4):
        each = zip(sequences, prompts, lengths, strict=True)
        spans = [Span(sequence, prompt[n + i : n + i + 1], 1) for sequence, prompt, n in each]
        rows = engine.forward(spans)
        for row, expected, n in zip(rows, alone, lengths, strict=True):
            assert (row == expected[n + i]).all()


@pytest.mark.parametrize("model", ["F32", "gpt-oss"], indirect=True)
def test_memory_and_tables_stay_as_they_are(engine: Engine, model: Any) -> None:
    layout, sequence = engine.layout, engine.new_sequence()
    assert isinstance(layout, WindowedLayout) and layout.n_sinks == SINKS
    small.run(engine, model.tokens(1000), [256, 256, 256, 232], sequence)
    held = [page is not None for page in sequence.kv.windowed]
    assert held[0] and not any(held[1:4]) and all(held[4:])
    nbytes = sequence.nbytes
    for i in range(6):
        small.run(engine, model.tokens(250, i), [250], sequence)
        assert abs(sequence.nbytes - nbytes) <= layout.windowed.page_nbytes * 2
        assert sequence.nbytes <= layout.nbytes(1 << 30)
    cut = sequence.first_cut
    assert cut > 15 * PAGE
    with pytest.raises(EngineError, match=f"from {cut} on"):
        sequence.truncate(cut - 1)
    fork, tokens = sequence.fork(cut), model.tokens(20, 9)
    sequence.truncate(cut)
    got = [small.run(engine, tokens, [20], one) for one in (fork, sequence)]
    assert (got[0] == got[1]).all() and np.isfinite(got[0]).all()


@pytest.mark.parametrize("model", ["F32", "positions", "gpt-oss"], indirect=True)
def test_weights_that_a_trace_shows(engine: Engine, model: Any) -> None:
    tokens = model.tokens(300)
    tracer = Tracer(engine, tokens, attentions=True, layer_logits=False)
    while not tracer.is_done:
        tracer.step()
    exact = small.reference(model, tokens)
    assert tracer.trace.attentions is not None
    assert np.abs(tracer.trace.attentions - exact.attentions).max() < 1e-5


def test_no_sinks_are_a_plain_window(pools: dict[int, Pool]) -> None:
    model = build("F32", pools[2], 50, 0)
    own = replace(without(model), config=replace(without(model).config, sliding_window=50))
    tokens, engines = model.tokens(200), [one.engine(pools[2]) for one in (model, own)]
    got, expected = (small.run(one, tokens, [100, 1, 99]) for one in engines)
    assert (got == expected).all()
    for one in engines:
        one.close()
