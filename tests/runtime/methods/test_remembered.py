"""What `load` is told of remembered prompts, and a model's cache as a file."""

from __future__ import annotations

import math
import threading
from pathlib import Path
from typing import Any

import pytest

import halfbyte
from halfbyte.errors import CacheFileError, EngineError, RequestError
from halfbyte.generation import model_hash
from halfbyte.methods.remembered import Remembered

PROMPT = list(range(3, 40)) * 9


@pytest.mark.parametrize("value", [-1, 1.5, math.nan, True, "1", [1]])
def test_odd_bounds_are_refused_by_name(value: object) -> None:
    with pytest.raises(RequestError) as caught:
        Remembered.of(value, None, 0)
    assert caught.value.param == "prompt_cache_bytes"
    with pytest.raises(RequestError) as caught:
        Remembered.of(None, None, value)
    assert caught.value.param == "prompt_cache_dir_bytes"


def test_a_folder_without_memory_is_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for nbytes, n_words in ((None, 0), (1, 0), (0, 1)):
        Remembered.of(nbytes, tmp_path, 1 << 30)
        assert len(caplog.records) == n_words


def test_folders_that_cannot_be_used_are_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "open").mkdir(mode=0o777)
    (tmp_path / "open").chmod(0o777)
    for name in ("file", "file/below", "open"):
        with pytest.raises(CacheFileError) as caught:
            halfbyte.load("no such model", prompt_cache_dir=tmp_path / name)
        assert name.split("/")[0] in str(caught.value)
    with pytest.raises(RequestError, match="prompt_cache_dir"):
        halfbyte.load("no such model", prompt_cache_dir=3)  # type: ignore[arg-type]


def _answer(model: halfbyte.Model) -> tuple[Any, int]:
    done = model.complete(PROMPT, max_tokens=5, temperature=1.0, seed=1, stop_tokens=[])
    return done.tokens, done.stats.n_reused


def test_what_is_remembered_lasts_and_changes_nothing(tiny_gguf: Path, tmp_path: Path) -> None:
    file = tmp_path / "saved.cache"
    with halfbyte.load(tiny_gguf, threads=2, prompt_cache_bytes=0) as model:
        expected, n = _answer(model)
        assert n == 0 and _answer(model) == (expected, 0)
    with halfbyte.load(tiny_gguf, threads=2, prompt_cache_dir=tmp_path / "folder") as model:
        assert [_answer(model) for _ in range(2)] == [(expected, 0), (expected, len(PROMPT) - 1)]
        assert model.save_cache(file) == file.stat().st_size
    with halfbyte.load(tiny_gguf, threads=2, prompt_cache_dir=tmp_path / "folder") as model:
        files = model._memory._model
        assert files is not None and model.scheduler.between_steps(lambda: files.get(None))
        assert _answer(model) == (expected, len(PROMPT) - 1)
    with halfbyte.load(tiny_gguf, threads=2) as model:
        assert model.load_cache(file) >= len(PROMPT)
        assert _answer(model) == (expected, len(PROMPT) - 1)


def test_what_is_forgotten_is_processed_again(tiny_gguf: Path) -> None:
    with halfbyte.load(tiny_gguf, threads=2) as model:
        assert model.n_remembered() == model.forget_cache() == 0
        expected, _ = _answer(model)
        assert _answer(model) == (expected, len(PROMPT) - 1)
        n = model.n_remembered()
        assert len(PROMPT) <= n <= len(PROMPT) + len(expected)
        assert model.forget_cache() == n and model.n_remembered() == 0
        assert _answer(model) == (expected, 0)


def test_a_cache_of_another_kind_is_refused_and_the_model_goes_on(
    tiny_gguf: Path, tmp_path: Path
) -> None:
    file = tmp_path / "saved.cache"
    with halfbyte.load(tiny_gguf, threads=1) as model:
        expected, _ = _answer(model)
        model.save_cache(file)
    with halfbyte.load(tiny_gguf, threads=1, kv_type="f32") as model:
        for path in (file, tmp_path / "missing", tiny_gguf, tmp_path):
            with pytest.raises(CacheFileError):
                model.load_cache(path)
        assert len(_answer(model)[0]) == len(expected)
        with pytest.raises(CacheFileError):
            model.save_cache(tmp_path / "no" / "folder")


def test_others_go_on_while_a_model_is_hashed_for_a_cache(
    tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_asked, may_end = threading.Event(), threading.Event()

    def hash_slowly(stamp: object) -> str:
        is_asked.set()
        assert may_end.wait(60)
        return "aa" * 32

    monkeypatch.setattr(model_hash, "_recall", lambda stamp, folder: None)
    monkeypatch.setattr(model_hash, "_remember", lambda stamp, value, folder: None)
    monkeypatch.setattr(model_hash, "_hash", hash_slowly)
    with halfbyte.load(tiny_gguf, threads=1) as model:
        saving = threading.Thread(target=model.save_cache, args=(tmp_path / "saved.cache",))
        saving.start()
        try:
            assert is_asked.wait(60)
            assert len(model.complete(PROMPT, max_tokens=5, timeout=60, stop_tokens=[]).tokens) == 5
        finally:
            may_end.set()
            saving.join()
    assert (tmp_path / "saved.cache").exists()
    with pytest.raises(EngineError, match="closed"):
        model.save_cache(tmp_path / "another.cache")
