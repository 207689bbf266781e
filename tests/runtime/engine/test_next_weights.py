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
from halfbyte.engine.weights import Matrix
from halfbyte.gguf.metadata import Metadata
from halfbyte.kernels.layouts.panels import PANEL_FORMATS

get_str = Metadata.get_str
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
    monkeypatch.setattr(next_weights, "N_FIRST", 80)
    monkeypatch.setattr(Metadata, "get_str", lambda m, key, *rest: (
        "gpt2" if (key, *rest) == ("tokenizer.ggml.model", "") else get_str(m, key, *rest)
    ))  # fmt: skip
    with halfbyte.load(path, threads=2) as model:
        assert model.draft is not None
        engine = model.draft.engine
        assert (logits_of(engine) == whole[:, :80]).all()
        assert engine.nbytes_per_token < nbytes
        ids = [7, 8, 9]
        expected = model.complete(ids, max_tokens=20, speculate=False).tokens
        assert model.complete(ids, max_tokens=20).tokens == expected
        assert max(expected) > 80  # it follows tokens that it does not guess


def test_what_is_guessed_of_a_vocabulary() -> None:
    def guessed(n_rows: int, n_inputs: int, n_model: int, *, by_merges: bool = True) -> int:
        output = Matrix(PANEL_FORMATS["Q8_0"], n_rows, n_inputs, 0)
        return next_weights.n_guessed(output, n_model, by_merges=by_merges)

    assert guessed(65535, 2048, 1 << 31) == 65535
    assert guessed(151552, 2048, 1 << 31) == 32768  # 71 MB more would be 3 % of a step
    assert guessed(151552, 2048, 1 << 32) == 65536
    assert guessed(262144, 2048, 1 << 31, by_merges=False) == 262144
