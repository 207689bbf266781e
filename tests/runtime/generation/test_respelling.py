"""The search for the likeliest tokens of a text, against a look at all of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halfbyte.errors import EngineError
from halfbyte.generation import respelling as respelling_module
from halfbyte.generation.params import SamplingParams
from halfbyte.generation.respelling import END_ODDS, MAX_PASSES, MAX_PATHS, Path, Respelling
from halfbyte.generation.sampler import Sampler
from halfbyte.gguf.strings import Strings
from halfbyte.tokenizer.piece_index import PieceIndex

# Both letters, so that every text can be spelled; some pieces twice, as vocabularies have them.
PIECES = st.lists(st.text("ab", min_size=1, max_size=5), max_size=14).map(
    lambda more: [piece.encode() for piece in ["a", "b", *more]]
)
TEXTS = st.text("ab", min_size=1, max_size=6).map(str.encode)


class Model:
    """Logits that depend on the tokens before them alone; `scale` makes them far apart."""

    def __init__(self, pieces: list[bytes], seed: int, scale: float = 3.0) -> None:
        self.pieces, self.seed, self.scale = pieces, seed, scale
        index = PieceIndex(Strings.of(pieces), range(len(pieces)))
        self.tokenizer: Any = SimpleNamespace(piece_index=index)

    def logits(self, path: Path) -> np.ndarray:
        rng = np.random.default_rng([self.seed, *path])
        return (self.scale * rng.standard_normal(len(self.pieces))).astype(np.float32)

    def coverings(self, text: bytes) -> Iterator[tuple[Path, float]]:
        """Every covering and the logarithm of its probability, times END_ODDS where it ends."""
        begun: list[tuple[Path, bytes, float]] = [((), text, 0.0)]
        for path, rest, log_prob in begun:
            x = self.logits(path).astype(np.float64)
            scores = log_prob + x - math.log(sum(map(math.exp, x.tolist())))
            for i, piece in enumerate(self.pieces):
                if piece.startswith(rest):
                    ends = math.log(END_ODDS) if piece == rest else 0.0
                    yield (*path, i), float(scores[i]) + ends
                elif rest.startswith(piece):
                    begun.append(((*path, i), rest[len(piece) :], float(scores[i])))

    def search(self, text: bytes, sampler: Any, room: int = 100) -> tuple[Path, list[int]]:
        """What is found, and how many logits each pass asked for."""
        letters = {b"a": 0, b"b": 1}
        given_ids = [letters[text[i : i + 1]] for i in range(len(text))]
        found = Respelling(self.tokenizer, sampler, text, given_ids)
        passes = []
        while found.wanted:
            passes.append(len(found.wanted))
            assert len(set(found.wanted)) == len(found.wanted)
            found.tell(np.stack([self.logits(path) for path in found.wanted]), room)
        return tuple(found.tokens), passes


def greedy() -> Sampler:
    return Sampler(SamplingParams(), 20, [])


class Listener:
    """A sampler that keeps what it was to choose from."""

    def __init__(self, **params: float) -> None:
        self.params = SamplingParams.from_kwargs(**{"temperature": 1.0, **params})

    def choose(self, log_probs: np.ndarray) -> int:
        self.log_probs = log_probs
        return len(log_probs) - 1


@settings(max_examples=60)
@given(PIECES, TEXTS, st.integers(0, 2**32))
def test_greedy_takes_the_likeliest_of_all(pieces: list[bytes], text: bytes, seed: int) -> None:
    model = Model(pieces, seed)
    best = max(model.coverings(text), key=lambda found: found[1])[0]
    got, passes = model.search(text, greedy())
    if len(passes) < MAX_PASSES - 1:  # else the work was bounded
        assert got == best
    assert passes[0] == 1 and max(passes) <= MAX_PATHS and len(passes) <= MAX_PASSES + 1


@settings(max_examples=40)
@given(PIECES, TEXTS, st.integers(0, 2**32), st.sampled_from([0.3, 1.0, 3.0]))
def test_a_draw_is_among_all_that_count(
    pieces: list[bytes], text: bytes, seed: int, temperature: float
) -> None:
    model, sampler = Model(pieces, seed), Listener(temperature=temperature)
    got, passes = model.search(text, sampler)
    everything = dict(model.coverings(text))
    n = len(sampler.log_probs)
    assert n <= len(everything) and everything[got] == pytest.approx(sampler.log_probs[-1])
    left = sorted(everything.values(), reverse=True)
    for log_prob in sampler.log_probs:
        left.remove(min(left, key=lambda other: abs(other - log_prob)))
    if left and len(passes) < MAX_PASSES - 1:
        assert (left[0] - max(everything.values())) / temperature < math.log(1.1e-3)


def test_inside_a_word_the_prompts_logits_settle_it() -> None:
    model = Model([b"a", b"b", b"ab", b"abba"], 0, scale=0.0)
    model.logits = lambda path: np.float32([0, 0, 1, 5])  # type: ignore[method-assign]
    assert model.search(b"abb", greedy()) == ((3,), [1])
    # Without the long piece, "ab" and what covers the rest; "a" might have been better.
    model.logits = lambda path: np.float32([0, 2, 1, -9])  # type: ignore[method-assign]
    assert model.search(b"abb", greedy()) == ((2, 1), [1, 2])


def test_a_text_ends_where_a_token_does_unless_a_longer_one_is_far_likelier() -> None:
    model = Model([b"a", b"b", b"ab"], 0)
    for odds, token in ((END_ODDS * 0.9, 0), (END_ODDS * 1.1, 2)):
        model.logits = lambda path, odds=odds: np.float32([0, 0, math.log(odds)])  # type: ignore[method-assign]
        assert model.search(b"a", greedy()) == ((token,), [1])


def test_equally_likely_coverings_are_told_apart_by_their_ids() -> None:
    model = Model([b"a", b"b", b"ab", b"aba", b"ab"], 0, scale=0.0)
    assert model.search(b"ab", greedy()) == ((2,), [1])


def test_where_the_work_ends_the_given_tokens_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Never less likely than they are, however few passes there may be."""
    n_given = 0
    for n_passes in (1, 2):
        monkeypatch.setattr(respelling_module, "MAX_PASSES", n_passes)
        monkeypatch.setattr(respelling_module, "MAX_PATHS", 2)
        for seed in range(60):
            model = Model([b"a", b"b", b"ab", b"ba", b"bb", b"aa", b"abb"], seed)
            coverings = dict(model.coverings(b"abab"))
            got, passes = model.search(b"abab", greedy())
            assert len(passes) <= n_passes + 1
            assert coverings[got] >= coverings[0, 1, 0, 1] - 1e-9
            n_given += got == (0, 1, 0, 1)
    assert n_given


def test_coverings_fit_the_context() -> None:
    for seed in range(40):
        model = Model([b"a", b"b", b"ab", b"abab"], seed)
        for room in (1, 2, 3):
            fitting = {p: x for p, x in model.coverings(b"aba") if len(p) <= room}
            got, _ = model.search(b"aba", greedy(), room)
            assert got == max(fitting, key=lambda path: fitting[path])


def test_logits_that_are_no_numbers_are_an_error() -> None:
    model = Model([b"a", b"b"], 0)
    for bad in (math.nan, math.inf):
        model.logits = lambda path, bad=bad: np.float32([0, bad])  # type: ignore[method-assign]
        with pytest.raises(EngineError, match="not finite"):
            model.search(b"ab", greedy())


def test_text_that_the_model_rules_out_stays_as_it_was_given() -> None:
    model = Model([b"a", b"b", b"ab", b"c"], 0)
    model.logits = lambda path: np.float32([-np.inf, -np.inf, -np.inf, 0])  # type: ignore[method-assign]
    assert model.search(b"ab", greedy())[0] == (0, 1)
