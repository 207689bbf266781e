"""The public API on a small model: what users call, what they get, what they are told."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import halfbyte
from halfbyte import loading as loading_module
from halfbyte import system
from halfbyte.engine.engine import Engine, Span
from halfbyte.quality.perplexity import token_losses

PROMPT = "ab cd ef"


@pytest.fixture(scope="module")
def model(tiny_gguf: Path) -> Iterator[halfbyte.Model]:
    with halfbyte.load(tiny_gguf, threads=2) as loaded:
        yield loaded


def test_a_loaded_model_says_what_it_is(model: halfbyte.Model, tiny_gguf: Path) -> None:
    assert model.path == str(tiny_gguf)
    assert (model.config.dim, model.config.n_kv_heads, model.n_ctx) == (64, 2, 512)
    assert model.n_threads == 2


def test_the_stream_is_the_completion_in_pieces(model: halfbyte.Model) -> None:
    stream = model.stream(PROMPT, max_tokens=20, temperature=1.0, seed=3)
    pieces = list(stream)
    whole = model.complete(PROMPT, max_tokens=20, temperature=1.0, seed=3)
    assert all(pieces) and "".join(pieces) == whole.text
    assert stream.completion is not None
    assert stream.completion.tokens == whole.tokens
    with pytest.raises(StopIteration):
        next(stream)


def test_an_abandoned_stream_leaves_the_model_usable(model: halfbyte.Model) -> None:
    stream = model.stream(PROMPT, max_tokens=50)
    next(stream)
    inner = model.complete(PROMPT, max_tokens=5).tokens
    del stream
    gc.collect()
    assert model.complete(PROMPT, max_tokens=5).tokens == inner


def test_logits_have_one_row_per_token(model: halfbyte.Model) -> None:
    ids = model.tokenizer.encode(PROMPT)
    logits = model.logits(ids)
    assert (logits.dtype, logits.shape) == (np.float32, (len(ids), 300))
    assert (logits[:3] == model.logits(ids[:3])).all()


def test_eight_threads_get_what_one_gets(model: halfbyte.Model) -> None:
    prompts = [f"text {i} of several" for i in range(8)]
    expected = [model.complete(p, max_tokens=15).tokens for p in prompts]
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda p: model.complete(p, max_tokens=15).tokens, prompts))
    assert got == expected


def test_caches_and_threads_do_not_change_the_text(tiny_gguf: Path, model: halfbyte.Model) -> None:
    with halfbyte.load(tiny_gguf, threads=1) as one:
        assert (one.logits(range(3, 90)) == model.logits(range(3, 90))).all()
    with halfbyte.load(tiny_gguf, threads=3, kv_type="f32") as exact:
        assert (exact.logits(range(3, 90)) != model.logits(range(3, 90))).any()


@pytest.mark.parametrize(
    ("call", "param"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [1, 300]}, "prompt[1]"),
        ({"prompt": [-1]}, "prompt[0]"),
        ({"prompt": [[1], [2, 2**70]]}, "prompt[1][1]"),
        ({"prompt": [1.5]}, "prompt[0]"),
        ({"prompt": [True]}, "prompt[0]"),
        ({"prompt": ["a", ""]}, "prompt[1]"),
        ({"prompt": b"bytes"}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": "a", "max_tokns": 3}, "max_tokns"),
        ({"prompt": "a", "temperature": float("nan")}, "temperature"),
        ({"prompt": "a", "stop_tokens": [300]}, "stop_tokens"),
        ({"prompt": [3] * 512}, "prompt"),
    ],
)
def test_bad_requests_name_the_argument(
    model: halfbyte.Model, call: dict[str, object], param: str
) -> None:
    with pytest.raises(halfbyte.RequestError) as caught:
        model.complete(**call)
    assert caught.value.param == param


def test_text_that_is_no_unicode_is_a_tokenizer_error(model: halfbyte.Model) -> None:
    with pytest.raises(halfbyte.TokenizerError, match="surrogate at 1"):
        model.complete("a\ud800")


def test_a_prompt_may_fill_all_but_one_position(model: halfbyte.Model) -> None:
    done = model.complete([3] * 510, max_tokens=9, stop_tokens=[])
    assert (len(done.tokens), done.finish_reason) in ((2, "context"), (0, "stop"), (1, "stop"))
    with pytest.raises(halfbyte.ContextLengthError) as caught:
        model.logits([3] * 513)
    assert (caught.value.n_tokens, caught.value.n_ctx) == (513, 512)


def test_a_longer_context_must_be_asked_for_and_is_warned_about(
    tiny_gguf: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with halfbyte.load(tiny_gguf, ctx=700) as longer:
        assert longer.logits([3] * 600).shape == (600, 300)
    assert "beyond the 512 tokens" in caplog.text


@pytest.mark.parametrize(
    ("option", "value"),
    [("threads", 0), ("threads", True), ("threads", "2"), ("ctx", 0), ("ctx", -5), ("ctx", 1.5),
     ("kv_type", "f64"), ("kv_type", None), ("arithmetic", "f16")],
)  # fmt: skip
def test_bad_load_options(tiny_gguf: Path, option: str, value: object) -> None:
    with pytest.raises(halfbyte.RequestError) as caught:
        halfbyte.load(tiny_gguf, **{option: value})
    assert caught.value.param == option


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(halfbyte.ModelFileError, match="nothing there"):
        halfbyte.load(tmp_path / "absent.gguf")
    with pytest.raises(halfbyte.ConversionError, match=r"config\.json"):
        halfbyte.load(tmp_path)


def new_threads(before: set[threading.Thread]) -> set[threading.Thread]:
    """Threads that were not there before; others may end meanwhile, of models dropped earlier."""
    return set(threading.enumerate()) - before


def test_a_closed_model_says_so_and_frees_its_threads(tiny_gguf: Path) -> None:
    before = set(threading.enumerate())
    model = halfbyte.load(tiny_gguf, threads=4)
    assert len(new_threads(before)) == 4  # one of them owns the engine
    next(model.stream(PROMPT, max_tokens=30))
    model.close()
    model.close()
    assert not new_threads(before)
    for call in (lambda: model.complete("a"), lambda: model.stream("a"), lambda: model.logits([1])):
        with pytest.raises(halfbyte.EngineError, match="closed"):
            call()


def test_a_dropped_model_frees_its_threads(tiny_gguf: Path) -> None:
    before = set(threading.enumerate())
    model = halfbyte.load(tiny_gguf, threads=3)
    model.complete("ab", max_tokens=2)
    del model
    gc.collect()
    deadline = time.monotonic() + 60
    while new_threads(before) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not new_threads(before)


def test_a_model_may_be_dropped_while_a_thread_starts(tiny_gguf: Path) -> None:
    """Garbage is collected anywhere, also under the locks that starting and ending threads take."""
    models = [halfbyte.load(tiny_gguf, threads=3)]
    models[0].complete("ab", max_tokens=2)

    def drop() -> None:
        with threading._active_limbo_lock:  # type: ignore[attr-defined]
            models.clear()
            gc.collect()

    thread = threading.Thread(target=drop, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive(), "it waits for a thread that waits for the lock"


def test_a_load_that_fails_leaves_no_threads(
    tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(threading.enumerate())

    def fail(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(loading_module, "load_weights", fail)
    with pytest.raises(KeyboardInterrupt):
        halfbyte.load(tiny_gguf, threads=4)
    assert not new_threads(before)


def _in_child(model: halfbyte.Model, queue: multiprocessing.Queue) -> None:
    try:
        model.complete("a")
        queue.put("worked")
    except halfbyte.EngineError as error:
        queue.put(str(error))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # forking beside threads is the test
def test_use_after_a_fork_is_an_error(model: halfbyte.Model) -> None:
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_child, args=(model, queue))
    child.start()
    answer = queue.get(timeout=60)
    child.join(60)
    assert "forked" in answer
    assert child.exitcode == 0
    assert model.complete("ab", max_tokens=2).tokens


def test_a_long_compilation_is_told(
    tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "halfbyte")
    monkeypatch.setattr(loading_module, "_TELL_AFTER_S", -1.0)
    halfbyte.load(tiny_gguf, threads=1).close()
    assert "compiling kernels" not in caplog.text  # they are ready, however long that took
    compile_all = loading_module.jit.compile_all

    def as_if_two_lacked(kernels: Any, report: Any, *most: int) -> int:
        for done in range(3):
            report(done, 2)
        return compile_all(kernels, report, *most)

    monkeypatch.setattr(loading_module.jit, "compile_all", as_if_two_lacked)
    halfbyte.load(tiny_gguf, threads=1).close()
    seen: list[tuple[str, int, int]] = []
    halfbyte.load(tiny_gguf, threads=1, progress=lambda *step: seen.append(step)).close()
    told = [r for r in caplog.records if "compiling kernels" in r.getMessage()]
    assert [record.levelname for record in told] == ["WARNING", "INFO"]
    assert [step for step in seen if step[0] == "compile"] == [("compile", i, 2) for i in range(3)]


def test_numba_does_not_flood_the_log(
    model: halfbyte.Model, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    assert not logging.getLogger("numba.core.byteflow").isEnabledFor(logging.DEBUG)
    assert logging.getLogger("halfbyte.loading").isEnabledFor(logging.DEBUG)


def test_more_threads_than_processors_are_warned_about(
    tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(system, "_allowed_cpus", lambda: {0, 1})
    halfbyte.load(tiny_gguf, threads=2).close()
    assert caplog.text == ""
    halfbyte.load(tiny_gguf, threads=3).close()
    assert "threads=3: this process may use 2 processors" in caplog.text


def test_progress_of_a_long_prompt(model: halfbyte.Model) -> None:
    seen: list[tuple[str, int, int]] = []
    model.complete([7] * 300, max_tokens=1, progress=lambda *step: seen.append(step))
    assert seen == [("prefill", 256, 300), ("prefill", 300, 300), ("decode", 1, 1)]


def test_progress_of_a_batch_ends_full(model: halfbyte.Model) -> None:
    seen: list[tuple[str, int, int]] = []
    how = {"max_tokens": 3, "stop_tokens": [], "progress": lambda *step: seen.append(step)}
    model.complete([[1, 5], [1, 6, 7]], **how)
    decoded = [done for stage, done, total in seen if stage == "decode" and total == 6]
    assert decoded == sorted(decoded) and decoded[-1] == 6 and len(decoded) >= 3


def test_a_batch_is_any_iterable(model: halfbyte.Model) -> None:
    texts = ["ab", "cd"]
    expected = [done.text for done in model.complete(texts, max_tokens=3)]
    for given in (iter(texts), (t for t in texts), dict.fromkeys(texts).keys(), np.array(texts),
                  np.array(texts, object)):  # fmt: skip
        assert [done.text for done in model.complete(given, max_tokens=3)] == expected
    for given in (set(texts), {"a": 1}, b"ab", iter([])):
        with pytest.raises(halfbyte.RequestError):
            model.complete(given)  # type: ignore[call-overload]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_name_their_position(
    tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch, bad: float
) -> None:
    forward = Engine.forward

    def broken(engine: Engine, spans: Sequence[Span], abort: object) -> np.ndarray:
        logits = forward(engine, spans, abort)
        if spans[0].sequence.n_past == 300:  # the second chunk of the prompt: 256 .. 299
            logits[5, 7] = bad
        return logits

    with halfbyte.load(tiny_gguf, threads=1) as model:
        assert np.isfinite(model.logits([3] * 300)).all()
        monkeypatch.setattr(Engine, "forward", broken)
        with pytest.raises(halfbyte.EngineError, match=f"position 261, token 7: {bad}"):
            model.logits([3] * 300)
        with pytest.raises(halfbyte.EngineError, match="not finite"):
            token_losses(model.logits, np.full((1, 300), 3))
