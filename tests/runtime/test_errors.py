"""Every error travels between processes with its fields, and is what Python's habits catch."""

from __future__ import annotations

import copy
import inspect
import multiprocessing
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import halfbyte
import halfbyte.hf.auto_tokenizer
import halfbyte.hf.errors
from halfbyte.errors import (
    ContextLengthError,
    EngineError,
    HalfbyteError,
    MissingFileError,
    ModelFileError,
    RequestError,
    TokenizerError,
)

# What constructors take, by name.
VALUES: dict[str, object] = {
    "message": "it went wrong", "path": Path("a/model.gguf"), "field": "general.name",
    "param": "top_k", "name": "HALFBYTE_CACHE", "where": "here", "n_tokens": 9, "n_ctx": 5,
    "nbytes": 9, "max_nbytes": 10, "wanted": 2,
    "expected": "a number", "got": (1, "x"), "hint": "try another", "timeout": 0.5,
    "completion": ["try another"], "reason": "no JSON", "text": "{",
}  # fmt: skip


def _kinds(kind: type[HalfbyteError] = HalfbyteError) -> Iterator[type[HalfbyteError]]:
    yield kind
    for sub in kind.__subclasses__():
        yield from _kinds(sub)


KINDS = list(dict.fromkeys(_kinds()))


def _make(kind: type[HalfbyteError]) -> HalfbyteError:
    names = list(inspect.signature(kind).parameters)
    return kind(**{name: VALUES[name] for name in names})  # type: ignore[arg-type]


def _travelled(error: HalfbyteError) -> Iterator[HalfbyteError]:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        yield pickle.loads(pickle.dumps(error, protocol))
    yield copy.copy(error)
    yield copy.deepcopy(error)


def test_all_kinds_are_looked_at() -> None:
    public = {e for e in vars(halfbyte.errors).values() if inspect.isclass(e)}
    assert {e for e in public if issubclass(e, HalfbyteError)} <= set(KINDS)
    assert halfbyte.hf.errors.TokenIdError in KINDS


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_errors_keep_text_and_fields(kind: type[HalfbyteError]) -> None:
    error = _make(kind)
    for again in _travelled(error):
        assert type(again) is kind
        assert (str(again), again.args) == (str(error), error.args)
        assert vars(again) == vars(error)
        assert "hint" not in inspect.signature(kind).parameters or "try another" in str(again)


def test_what_cannot_travel_arrives_as_text() -> None:
    error = RequestError("prompt", expected="text", got=(i for i in ()))
    again = pickle.loads(pickle.dumps(error))
    assert again.got == repr(error.got) and str(again) == str(error)
    error.__notes__ = ["noted"]
    assert pickle.loads(pickle.dumps(error)).__notes__ == ["noted"]


def _raise_too_long(n_tokens: int) -> None:
    raise ContextLengthError(n_tokens, 512, param="ids")


def test_a_worker_s_error_reaches_the_pool() -> None:
    context = multiprocessing.get_context("fork")
    with context.Pool(1) as pool:
        answer = pool.apply_async(_raise_too_long, (600,))
        with pytest.raises(ContextLengthError, match="at most 512 tokens") as caught:
            answer.get(timeout=60)  # for ever, where the error cannot be read
    error = caught.value
    assert (error.n_tokens, error.n_ctx, error.param) == (600, 512, "ids")


def test_pythons_habits_catch_them(tmp_path: Path) -> None:
    for call in (lambda: halfbyte.SamplingParams(top_k=-1), lambda: halfbyte.load(7)):  # type: ignore[arg-type]
        for habit in (ValueError, TypeError):
            with pytest.raises(habit) as caught:
                call()
            assert isinstance(caught.value, RequestError)
    assert issubclass(TokenizerError, ValueError) and not issubclass(EngineError, ValueError)


@pytest.mark.parametrize("name", ["absent.gguf", "absent/", "absent/tokenizer.model"])
def test_a_missing_file_is_a_file_not_found(tmp_path: Path, name: str) -> None:
    path: Any = f"{tmp_path}/{name}"
    calls = [lambda: halfbyte.load(path), lambda: halfbyte.convert(path, tmp_path / "x.gguf")]
    calls.append(lambda: halfbyte.Tokenizer.from_path(path))
    calls.append(lambda: halfbyte.AutoTokenizer.from_pretrained(path))
    for call in calls:
        with pytest.raises(FileNotFoundError) as caught:
            call()
        error = caught.value
        assert isinstance(error, ModelFileError) and isinstance(error, MissingFileError)
        assert error.errno == 2 and str(tmp_path) in error.filename in str(error)


def test_a_file_that_is_there_is_no_missing_one(tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelFileError) as caught:
        halfbyte.load(tmp_path / "bad.gguf")
    assert not isinstance(caught.value, FileNotFoundError)
