"""The numerics contract: a position's logits depend on the tokens before it, and on nothing else.

Not on threads, chunks, batch mates, what the cache held before, or the instruction set: always
`==`. And they are close to float64, by the table below.
"""

from __future__ import annotations

import ctypes
import dataclasses
import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_models as small
from hypothesis import given, settings
from hypothesis import strategies as st

from halfbyte.engine import page_dealing
from halfbyte.engine.engine import MAX_BATCH, Engine, Span
from halfbyte.engine.model_kernels import kernels_for
from halfbyte.families import layer_sizes
from halfbyte.kernels.compiler import target
from halfbyte.kernels.layouts.kv_pages import PAGE, is_coded
from halfbyte.kernels.layouts.panels import PANEL_FORMATS
from halfbyte.kernels.pool import CONTENDED, STAGE_MASK, Pool
from halfbyte.kernels.stages.latent import TOKENS
from halfbyte.kernels.stages.record import STEP

DIGESTS = Path(__file__).with_name("digests.py")
N_TOKENS = 150  # over a page's border

# Root mean square of the difference to float64 on the same weights, as a share of the logits',
# and why; the largest difference, as a share of the largest logit, may be twice that.
TOLERANCE = {
    "F32": 5e-6,  # float sums of up to 100 terms, exp within 2 units: measured 5e-7
    "F16": 5e-6,  # the weights are exact, so as F32
    "BF16": 5e-6,
    "F32-f16-cache": 1e-3,  # keys and values keep 11 bits: 2**-12 of each, measured 4e-4
    # Activations of 8 bits: a step of 1/127 of a block's largest is noise of 0.5 % in each of the
    # 9 products that a logit goes through; measured 2.3 %. The weights' own error is not in it.
    "Q8_0": 3e-2,
    "Q4_0": 3e-2,
    "Qwen2": 5e-6,
    "Qwen3": 5e-6,
    "window": 3e-2,
    "Llama3": 5e-6,
    "positions": 5e-6,
    "Q4_1": 3e-2,
    "mix": 3e-2,
    "mix-bf16": 3e-2,
    # Roundings to 8 bits of mantissa, of weights too: 2**-9 each, 0.1 % by root mean square.
    "F16-bf16": 2e-2,
    "biases": 3e-2,
    "StarCoder2": 5e-6,
    "Gemma": 3e-2,
    "Granite": 5e-6,
    "OLMo2": 5e-6,
    "EXAONE4": 5e-6,
    "Cohere2": 5e-6,
    "Laguna": 5e-6,
    "Gemma4": 5e-6,
    "int8": 2e-2,  # keys and values of 8 bits, of which rotation spreads what stands out
    "int4": 0.2,  # keys of 6 bits, values of 4: a step of 2/15 of the largest
    "Qwen3MoE": 5e-6,
    "gpt-oss": 5e-6,
    # A rounding may choose another expert, whose row then differs altogether.
    "experts": 4e-1,
    "DeepSeek": 4e-1,
    "DeepSeek-bf16": 4e-1,
    "Granite4": 5e-6,
    "Nemotron": 4e-1,
    "Qwen3Next": 5e-6,
    "Qwen35": 8e-2,  # a state carries roundings on, and a norm enlarges them: measured 4.5 %
    "LFM2": 5e-6,
    "LFM2MoE": 4e-1,
}


# A forced ISA has its own dot products and vectors, which these take all of.
ON_EACH_ISA = (
    "mix",
    "F32",
    "mix-bf16",
    "Q4_0",
    "Qwen2",
    "window",
    "int8",
    "int4",
    "Granite",
    "experts",
)
# Others whose logits are the same bits on each.
ALIKE = ("positions", "DeepSeek", "Granite4", "LFM2", "Gemma4")
NAMES = ON_EACH_ISA if os.environ.get("HALFBYTE_ISA") else tuple(small.SHAPES)


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def model(name: str, pools: dict[int, Pool]) -> Any:
    return small.build(small.SHAPES[name], pools[2])


@pytest.fixture(scope="module")
def engine(model: Any, pools: dict[int, Pool]) -> Engine:
    return model.engine(pools[2])


@pytest.fixture(scope="module")
def tokens(model: Any) -> list[int]:
    return model.tokens(N_TOKENS)


@pytest.fixture(scope="module")
def expected(engine: Engine, tokens: list[int]) -> np.ndarray:
    """All logits of the prompt, taken at once."""
    logits = small.run(engine, tokens, [N_TOKENS])
    assert np.isfinite(logits).all() and len(np.unique(logits[-1])) > 20
    return logits


def test_close_to_float64(model: Any, name: str, tokens: list[int], expected: np.ndarray) -> None:
    exact = small.reference_logits(model, tokens)
    error = np.abs(expected - exact)
    assert np.sqrt((error**2).mean() / (exact**2).mean()) < TOLERANCE[name]
    assert error.max() / np.abs(exact).max() < 2 * TOLERANCE[name]


def test_no_other_roundings_than_stated(
    model: Any, name: str, tokens: list[int], expected: np.ndarray
) -> None:
    """With the stated roundings, float64 gives the same logits to float accuracy.

    Where a number lies so close to a tie that it goes the other way, its row differs, and later
    ones that attend to it: not all rows can be asked for.
    """
    rounded = small.reference_logits(model, tokens, rounds=True)
    error = np.abs(expected - rounded).max(1) / np.sqrt((rounded**2).mean())
    assert error[0] < 5e-6
    # Weights of values that are codes are whole numbers, too many to round alike.
    close = 2e-3 if is_coded(model.shape.kv_type) else 1e-5
    assert (error < close).mean() > (0.99 if TOLERANCE[name] < 1e-5 else 0.2)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_number_of_threads(
    model: Any, pools: dict[int, Pool], tokens: list[int], expected: np.ndarray, n_threads: int
) -> None:
    other = model.engine(pools[n_threads])
    assert (small.run(other, tokens, [N_TOKENS]) == expected).all()
    assert (small.run(other, tokens, [100, 1, 1, 48]) == expected).all()


def test_token_by_token(engine: Engine, tokens: list[int], expected: np.ndarray) -> None:
    assert (small.run(engine, tokens, [1] * N_TOKENS) == expected).all()


def test_token_by_token_on_a_contended_machine(
    model: Any, pools: dict[int, Pool], tokens: list[int], expected: np.ndarray
) -> None:
    """Products of a single token are made in a thread's own memory (kernels/claims.py), or not."""
    engine, is_over = model.engine(pools[2]), threading.Event()
    contended = ctypes.c_int64.from_address(engine.pool.address + CONTENDED)

    def change() -> None:
        """In the middle of stages too, in which threads then differ."""
        for value in itertools.cycle((0, STAGE_MASK)):
            contended.value = value
            if is_over.is_set():
                return

    contended.value, changing = STAGE_MASK, threading.Thread(target=change)
    try:
        assert (small.run(engine, tokens, [110] + [1] * 40) == expected).all()
        changing.start()
        assert (small.run(engine, tokens, [110] + [1] * 40) == expected).all()
    finally:
        is_over.set()
        if changing.ident is not None:
            changing.join()
        contended.value = 0


@st.composite
def _chunks(draw: st.DrawFn, total: int = N_TOKENS) -> list[int]:
    cuts = draw(st.sets(st.integers(1, total - 1), max_size=12))
    return np.diff([0, *sorted(cuts), total]).tolist()


# The fixtures stay the same over the examples on purpose: a used engine must be as a new one.
_SETTINGS = settings(max_examples=12, database=None, derandomize=True)


@_SETTINGS
@given(chunks=_chunks())
def test_chunks_of_the_prompt(
    engine: Engine, tokens: list[int], expected: np.ndarray, chunks: list[int]
) -> None:
    assert (small.run(engine, tokens, chunks) == expected).all()


@_SETTINGS
@given(kept=st.integers(0, N_TOKENS - 1), junk=st.integers(1, 200), chunks=st.integers(1, 3))
def test_a_cut_sequence_is_as_new(
    engine: Engine, model: Any, tokens: list[int], expected: np.ndarray, kept: int, junk: int,
    chunks: int,
) -> None:  # fmt: skip
    sequence = engine.new_sequence()
    if kept:
        small.run(engine, tokens[:kept], [kept], sequence)
    small.run(engine, model.tokens(junk, seed=7), [junk], sequence, guessed=True)
    sequence.truncate(kept)
    assert sequence.n_past == kept
    rest = tokens[kept:]
    sizes = [len(part) for part in np.array_split(rest, chunks) if len(part)]
    assert (small.run(engine, rest, sizes, sequence) == expected[kept:]).all()


@_SETTINGS
@given(shared=st.integers(0, N_TOKENS - 1), first=st.booleans())
def test_forks_do_not_disturb_each_other(
    engine: Engine, model: Any, tokens: list[int], expected: np.ndarray, shared: int, first: bool
) -> None:
    """The original goes one way and the fork another, in either order."""
    original = engine.new_sequence()
    small.run(engine, tokens[: N_TOKENS - 1], [N_TOKENS - 1], original, guessed=True)
    fork = original.fork(shared)
    assert (fork.n_past, original.n_past) == (shared, N_TOKENS - 1)
    other = model.tokens(30, seed=8)
    fresh = small.run(engine, [*tokens[:shared], *other], [shared + 30])[shared:]
    for turn in (first, not first):
        if turn:
            assert (small.run(engine, tokens[-1:], [1], original) == expected[-1:]).all()
        else:
            assert (small.run(engine, other, [30], fork) == fresh).all()


def test_cutting_one_of_two_forks_leaves_the_other(engine: Engine, model: Any) -> None:
    """A full page that both hold is begun anew by one of them."""
    tokens = model.tokens(PAGE + 40)
    new, probe = model.tokens(PAGE, seed=9), model.tokens(1, seed=10)
    for cut_fork in (True, False):
        original = engine.new_sequence()
        small.run(engine, tokens, [len(tokens)], original, guessed=True)
        fork = original.fork(PAGE + 10)
        kept, cut = (original, fork) if cut_fork else (fork, original)
        before = small.run(engine, [*tokens[: kept.n_past], *probe], [kept.n_past + 1])[-1:]
        cut.truncate(50)
        small.run(engine, new, [len(new)], cut)
        assert (small.run(engine, probe, [1], kept) == before).all()


def test_alone_or_beside_others(
    engine: Engine, model: Any, tokens: list[int], expected: np.ndarray
) -> None:
    rng = np.random.default_rng(3)
    for _ in range(6):
        n_mates = int(rng.integers(1, 7))
        mates = []
        for i in range(n_mates):
            sequence, past = engine.new_sequence(), int(rng.integers(0, 140))
            if past:
                small.run(engine, model.tokens(past, seed=i), [past], sequence)
            n = int(rng.choice([1, 1, 2, 9]))
            mates.append(Span(sequence, model.tokens(n, seed=20 + i), int(rng.integers(0, n + 1))))
        mine, at = engine.new_sequence(), 0
        for n in (60, 1, 70, 1):
            span = Span(mine, tokens[at : at + n], n)
            place = int(rng.integers(0, n_mates + 1))
            spans = [*mates[:place], span, *mates[place:]]
            begin = sum(s.n_out for s in mates[:place])
            got = engine.forward(spans)
            assert len(got) == n + sum(s.n_out for s in mates)
            assert (got[begin : begin + n] == expected[at : at + n]).all()
            at += n


def test_a_batch_of_single_tokens(
    engine: Engine, model: Any, tokens: list[int], expected: np.ndarray
) -> None:
    """Decoding sequences together, each at another position."""
    for n_sequences in (1, 2, 3, 4, 5, 8, 9):
        sequences = [engine.new_sequence() for _ in range(n_sequences)]
        for i, sequence in enumerate(sequences):
            small.run(engine, tokens[: 10 * i + 1], [10 * i + 1], sequence)
        for _ in range(3):
            at = [s.n_past for s in sequences]
            spans = [Span(s, tokens[s.n_past : s.n_past + 1], 1) for s in sequences]
            assert (engine.forward(spans) == expected[at]).all()


@pytest.mark.parametrize("n_out", [0, 1, 2, 5, 149])
def test_rows_that_are_asked_for(
    engine: Engine, tokens: list[int], expected: np.ndarray, n_out: int
) -> None:
    sequence = engine.new_sequence()
    got = engine.forward([Span(sequence, tokens, n_out)])
    assert got.shape == (n_out, expected.shape[1])
    assert (got == expected[N_TOKENS - n_out :]).all()
    assert sequence.n_past == N_TOKENS


def test_a_full_batch_and_long_positions(engine: Engine, model: Any) -> None:
    tokens = model.tokens(600)
    whole = small.run(engine, tokens, [MAX_BATCH, MAX_BATCH, 600 - 2 * MAX_BATCH])
    assert (small.run(engine, tokens, [7] * 85 + [5]) == whole).all()


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_single_tokens_at_long_positions(
    model: Any, pools: dict[int, Pool], n_threads: int
) -> None:
    """From three pages on, these are dealt to the threads."""
    tokens, engine = model.tokens(400), model.engine(pools[n_threads])
    whole = small.run(engine, tokens, [MAX_BATCH, 400 - MAX_BATCH])
    assert (small.run(engine, tokens, [MAX_BATCH, *[1] * (400 - MAX_BATCH)]) == whole).all()
    assert _is_split(engine) == (n_threads > 1 and not engine.config.longest_window)


def _is_split(engine: Engine) -> bool:
    return int(engine._words[STEP.n_splits // 8]) > 1


@pytest.mark.parametrize("n_threads", [2, 3])
def test_some_tokens_of_some_sequences_at_long_positions(
    model: Any, pools: dict[int, Pool], n_threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their pages are dealt to the threads too, whatever each has of them."""
    monkeypatch.setattr(page_dealing, "_MIN_UNEVENNESS", 1.0)
    tokens, engine, alone = model.tokens(420), model.engine(pools[n_threads]), pools[1]
    whole = small.run(model.engine(alone), tokens, [MAX_BATCH, 420 - MAX_BATCH])
    pasts, n_split = (400, 140, 390, 3), 0
    for counts in ([1, 1], [2], [17], [1, 5, 1], [1, 3, 2, 9]):
        sequences = [engine.new_sequence() for _ in counts]
        for sequence, past in zip(sequences, pasts, strict=False):
            small.run(engine, tokens[:past], [past] if past < MAX_BATCH else [200, past - 200],
                      sequence)  # fmt: skip
        spans = [
            Span(sequence, tokens[sequence.n_past : sequence.n_past + n], n)
            for sequence, n in zip(sequences, counts, strict=True)
        ]
        rows = [i for span in spans for i in range(span.sequence.n_past,
                                                   span.sequence.n_past + span.n_out)]  # fmt: skip
        assert (engine.forward(spans) == whole[rows]).all()
        n_split += _is_split(engine)
    assert bool(n_split) == (not engine.config.longest_window)


def test_what_pages_give_takes_bounded_memory(
    model: Any, pools: dict[int, Pool], monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens, engine = model.tokens(400), model.engine(pools[2])
    monkeypatch.setattr(page_dealing, "MAX_NBYTES", 1000)
    n_before = engine._partials.nbytes
    whole = small.run(engine, tokens, [MAX_BATCH, 400 - MAX_BATCH])
    sequence = engine.new_sequence()
    small.run(engine, tokens[:399], [MAX_BATCH, 399 - MAX_BATCH], sequence)
    assert (small.run(engine, tokens[399:], [1], sequence) == whole[399:]).all()
    assert not _is_split(engine) and engine._partials.nbytes == n_before


def test_more_heads_than_share_a_key_at_once(
    pools: dict[int, Pool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compressed keys are read once for each group of heads: the sums are the same."""
    monkeypatch.setattr(layer_sizes, "MAX_GROUP", 4)
    shape = dataclasses.replace(small.LATENTS, n_heads=8)
    model = small.build(shape, pools[2])
    assert (model.config.group, model.config.n_head_groups) == (4, 2)
    assert 2 * TOKENS < 199 < 200 < 4 * TOKENS  # a head's matrix takes a step's in several parts
    tokens = model.tokens(400)
    engine = model.engine(pools[3])
    whole = small.run(engine, tokens, [200, 200])
    exact = small.reference_logits(model, tokens)
    assert np.abs(whole - exact).max() / np.abs(exact).max() < TOLERANCE["F32-f16-cache"]
    sequence = engine.new_sequence()
    small.run(engine, tokens[:399], [200, 199], sequence)
    assert (small.run(engine, tokens[399:], [1], sequence) == whole[399:]).all()
    assert _is_split(engine)


def test_a_window_is_no_kernels_own() -> None:
    """Models with any window, or none, run with the same compiled kernels."""
    shape = small.SHAPES["window"]
    kernels = [
        kernels_for(
            dataclasses.replace(shape.config(), sliding_window=n),
            "f16",
            {"token_embd.weight": PANEL_FORMATS["Q4_0"]},
        )
        for n in (0, 50, 51)
    ]
    assert len(kernels[0]) > 5
    assert all(a is b for a, b in zip(kernels[0] * 2, kernels[1] + kernels[2], strict=True))


def _digests(isa: str, kernel_cache: Path, names: Sequence[str]) -> str:
    env = {k: v for k, v in os.environ.items() if k != "HALFBYTE_ISA"}
    command = [sys.executable, "-W", "error", str(DIGESTS), isa, str(kernel_cache), *names]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600, env=env)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("\n") >= len(names)
    return result.stdout


def test_every_isa_gives_the_same_bits(kernel_cache: Path) -> None:
    """As the best one does: a forced one with all models, else the least one with two.

    Nearly all of the time goes to kernels that are compiled for the lesser one. Where it is forced
    (.ci/run), the other tests take most of them too.
    """
    isas, forced = target.supported(), os.environ.get("HALFBYTE_ISA")
    names = ON_EACH_ISA + ALIKE if forced else ON_EACH_ISA[:2]
    found = [_digests(isa, kernel_cache, names) for isa in (isas[0], forced or isas[-1])]
    assert found[0] == found[1]
