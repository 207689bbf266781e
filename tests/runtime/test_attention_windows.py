"""A model with a window that was asked for, as users hold it: no bit changes but by the window.

That it sees what the paper says is tested in engine/test_attention_sinks.py.
"""

from __future__ import annotations

import inspect
import logging
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import halfbyte
from halfbyte.engine import kv_cache
from halfbyte.engine.engine import MAX_BATCH, Span
from halfbyte.errors import CacheFileError, ContextLengthError, RequestError
from halfbyte.families.config import MAX_CTX
from halfbyte.kernels.layouts.kv_pages import WindowedLayout
from halfbyte.methods.remembered import Remembered
from tests.runtime.asked_models import (
    ASKED,
    TEXT,
    chat,
    guesses_change_no_bit,
    letting_go_changes_no_bit,
    nothing_is_let_go,
    told,
)
from tests.runtime.test_recurrent_models import BENCHMARKS

PATH = Path(halfbyte.__file__).parent / "data" / "infill-10m.gguf"
N_TRAINED = 512
HOW = {"attention_window": 100, "attention_sinks": 3}


def load(path: Path = PATH, **options: Any) -> halfbyte.Model:
    return halfbyte.load(path, **{"threads": 2, "prompt_cache_bytes": 1 << 26, **HOW, **options})


@pytest.fixture(scope="module", autouse=True)
def little_is_kept() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kv_cache, "_SLACK", 30)
        patch.setattr(kv_cache, "_LEAST_KEPT", 0)
        yield


@pytest.fixture(scope="module")
def model(little_is_kept: None) -> Iterator[halfbyte.Model]:
    with load() as loaded:
        assert isinstance(loaded.engine.layout, WindowedLayout)
        yield loaded


@pytest.fixture(scope="module")
def keeping() -> Iterator[halfbyte.Model]:
    """One that lets nothing go."""
    with nothing_is_let_go():
        loaded = load(ctx=4096)
    with loaded:
        assert not isinstance(loaded.engine.layout, WindowedLayout)
        yield loaded


@pytest.mark.parametrize("name", ASKED)
def test_what_is_let_go_and_found_again_changes_no_bit(
    model: halfbyte.Model, keeping: halfbyte.Model, name: str
) -> None:
    letting_go_changes_no_bit(model, keeping, name)


def test_guesses_and_a_draft_model_change_no_bit(
    model: halfbyte.Model, keeping: halfbyte.Model
) -> None:
    with load(draft=PATH) as drafting:
        assert drafting.draft is not None and drafting.draft.n_ctx == MAX_CTX
        guesses_change_no_bit(model, keeping, drafting)


def test_a_draft_without_a_window_remembers_no_more_than_its_part(model: halfbyte.Model) -> None:
    """A sequence of 2^30 tokens would be its part of the memory for one of the window's."""
    engine, most = model.engine, 1 << 26
    config = replace(engine.config, attention_window=0, attention_sinks=0)
    draft = engine.beside(config, engine.weights, "f16", N_TRAINED)
    made = Remembered(most, None, 0).draft_model(draft, engine)
    assert made._cache.max_nbytes <= 2 * most
    draft.close()


def test_remembered_prompts_are_those_of_the_same_window(tmp_path: Path) -> None:
    reused, answers = [], []
    for _ in range(2):
        with load(prompt_cache_dir=tmp_path / "prompts") as model:
            model.scheduler.between_steps(model._memory.wait_for_hash)
            done = [chat(model, n) for n in range(1, 4)]
            reused.append([one.stats.n_reused for one in done])
            answers.append(told(done))
            model.save_cache(tmp_path / "saved")
    assert reused[0] == [0, 151, 302] and reused[1] >= [151, 302, 453]
    assert answers[0] == answers[1]
    with load() as model:
        assert model.load_cache(tmp_path / "saved") > 450
        assert [told(chat(model, n)) for n in range(1, 4)] == answers[0]
        assert chat(model, 3).stats.n_reused >= 450
    for other in ({"attention_window": 101}, {"attention_sinks": 4}):
        with load(**other, prompt_cache_dir=tmp_path / "prompts") as model:
            with pytest.raises(CacheFileError):
                model.load_cache(tmp_path / "saved")
            model.scheduler.between_steps(model._memory.wait_for_hash)
            assert [chat(model, n).stats.n_reused for n in range(1, 4)] == reused[0]


def test_a_short_window_of_ctx_is_bound_as_it_is_computed(tmp_path: Path) -> None:
    """Where pages are one block, the window is not in their layout."""
    with load(attention_window=400, ctx=390) as model:
        assert not isinstance(model.engine.layout, WindowedLayout)
        chat(model, 1)
        model.save_cache(tmp_path / "saved")
    with load(attention_window=395, ctx=390) as model, pytest.raises(CacheFileError):
        model.load_cache(tmp_path / "saved")


def test_what_fits_is_as_without_a_window() -> None:
    with load(attention_window=300) as model, halfbyte.load(PATH, threads=2) as plain:
        tokens = model.tokenizer.encode(TEXT)[:250]
        answers = [one.complete(tokens, max_tokens=50, logprobs=3) for one in (model, plain)]
    assert told(answers[0]) == told(answers[1])


def test_an_answer_has_no_end_but_what_is_asked_for() -> None:
    """Memory is that of the window, and distances never are longer than in training."""
    with load(attention_window=N_TRAINED - 3, prompt_cache_bytes=0) as model:
        assert model.n_ctx == MAX_CTX and "window 3+509" in repr(model)
        engine, most = model.engine, 0
        for _ in model.stream(TEXT, max_tokens=1500, min_tokens=1500, temperature=1.0, seed=1):
            most = max(most, engine.pages.nbytes)
        done = model.complete(TEXT * 6, max_tokens=5)
    assert done.stats.n_prompt > 1500
    assert most <= engine.layout.nbytes(1 << 30) == model.kv_nbytes(10**6)
    assert most < 10 * engine.layout.page_nbytes


def test_ctx_is_an_end_where_it_is_given(caplog: pytest.LogCaptureFixture) -> None:
    with load(ctx=900) as model:
        assert model.n_ctx == 900 and not caplog.records
        tokens = model.tokenizer.encode(TEXT * 3)[:895]
        assert len(tokens) == 895
        done = model.complete(tokens, max_tokens=50, min_tokens=50)
        assert len(done.tokens) == 5 and done.finish_reason == "context"
        with pytest.raises(ContextLengthError):
            model.complete(TEXT * 3, max_tokens=5)


def test_longer_distances_than_in_training_are_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), load(attention_window=N_TRAINED):
        pass
    (record,) = caplog.records
    assert f"attention_window + attention_sinks={N_TRAINED + 3} is beyond" in record.message


def test_models_that_cannot_say_so(
    benchmark_module: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        path = benchmark_module("synth_infill").ensure("tiny-lfm2", tmp_path)
    with pytest.raises(RequestError, match="recurrent layers") as error:
        load(path)
    assert error.value.param == "attention_window"


def test_a_window_that_memory_cannot_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(halfbyte.system, "available_memory", lambda: 40 << 20)
    with pytest.raises(RequestError, match="GB of memory") as error:
        load(attention_window=100_000)
    assert error.value.param == "attention_window" and "100000" in str(error.value)


def test_text_beyond_the_training_is_as_likely_as_before() -> None:
    """A model of 512 positions reads 4,000 of Python's own; with all in sight it is lost."""
    text = inspect.getsource(subprocess)
    likely = {}
    for name, how in (("window", {"attention_window": 508, "attention_sinks": 4}),
                      ("all", {"attention_window": None, "attention_sinks": None, "ctx": 4096}),
                      ):  # fmt: skip
        with load(**how) as model:
            ids = model.tokenizer.encode(text)[:4001]
            sequence, nll = model.engine.new_sequence(), []
            for i in range(0, 4000, MAX_BATCH):
                part, after = ids[i : i + MAX_BATCH][: 4000 - i], ids[i + 1 : i + 1 + MAX_BATCH]
                logits = model.engine.forward([Span(sequence, part, len(part))]).astype(np.float64)
                top = logits.max(1)
                sums = np.log(np.exp(logits - top[:, None]).sum(1)) + top
                nll += (sums - logits[range(len(part)), after]).tolist()
            likely[name] = np.mean(nll[:N_TRAINED]), np.mean(nll[2000:])
    assert likely["window"][0] == likely["all"][0]
    assert likely["window"][1] < likely["window"][0]
    assert likely["all"][1] > likely["window"][1] + 1
