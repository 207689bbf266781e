"""A layer that guesses with the first tokens of a vocabulary alone: the same logits of these."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import halfbyte
from halfbyte.engine import next_weights
from halfbyte.engine.engine import Engine, Span

IDS = [3, 300, 17, 5, 211]


def logits_of(engine: Engine) -> np.ndarray:
    """Of all rows of a step, from invented states."""
    states = np.random.default_rng(0).standard_normal((len(IDS), 64), np.float32)
    engine.rows("state", len(IDS), 64)[:] = states
    return engine.forward([Span(engine.new_sequence(), IDS, len(IDS))]).copy()


@pytest.mark.parametrize("file_type", ["f32", "q8_0"])
def test_a_trimmed_vocabulary(
    file_type: str, tmp_path: Path, benchmark_module: Callable[[str], ModuleType],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    tiny_llama = benchmark_module("tiny_llama")
    shape = (64, 96, 2, 4, 2, 32, 323, 1e6)
    tiny = tiny_llama.Tiny("t", 1, *shape, tied=False, kind="glm4_moe", n_next=1)
    tiny_llama.save(tiny, tmp_path / "hf")
    path = tmp_path / "m.gguf"
    halfbyte.convert(tmp_path / "hf", path, type=file_type, measure=False)
    with halfbyte.load(path, threads=2) as model:
        assert model.draft is not None
        whole = logits_of(model.draft.engine)
        nbytes = model.draft.engine.nbytes_per_token
        assert whole.shape == (len(IDS), 323)
    monkeypatch.setattr(next_weights, "N_GUESSED", 80)
    with halfbyte.load(path, threads=2) as model:
        assert model.draft is not None
        engine = model.draft.engine
        assert (logits_of(engine) == whole[:, :80]).all()
        assert engine.nbytes_per_token < nbytes
        ids = [7, 8, 9]
        expected = model.complete(ids, max_tokens=20, speculate=False).tokens
        assert model.complete(ids, max_tokens=20).tokens == expected
        assert max(expected) > 80  # it follows tokens that it does not guess


def test_small_vocabularies_are_guessed_whole() -> None:
    for n_vocab, expected in ((32000, 32000), (65535, 65535), (65536, 32768), (248320, 32768)):
        assert next_weights.n_guessed(n_vocab) == expected
