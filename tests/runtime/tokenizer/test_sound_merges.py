"""What is remembered of a vocabulary, and what is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import pytest

from halfbyte import settings
from halfbyte.errors import ModelFileError
from halfbyte.tokenizer import Tokenizer
from halfbyte.tokenizer.bpe import ByteLevelBackend


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty one."""
    monkeypatch.setenv(settings.CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache" / "vocabularies"


def is_whole(tokenizer: Tokenizer) -> bool:
    """Whether the model of all merges was made."""
    assert isinstance(tokenizer._backend, ByteLevelBackend)
    return "_model" in tokenizer._backend.__dict__


def test_the_whole_model_is_made_once_in_a_vocabularys_life(
    tmp_path: Path, cache: Path, vocabularies: Any
) -> None:
    made = vocabularies.train_byte_level("gpt-2")
    path = made.write(tmp_path / "m.gguf")
    assert is_whole(Tokenizer.from_path(path))
    assert len(list(cache.iterdir())) == 1
    assert not is_whole(Tokenizer.from_path(path))
    other = made.write(tmp_path / "other.gguf", pieces=["more"])
    assert is_whole(Tokenizer.from_path(other))
    assert len(list(cache.iterdir())) == 2


def test_a_wrong_merge_is_never_remembered(tmp_path: Path, cache: Path, vocabularies: Any) -> None:
    def fill(writer: gguf.GGUFWriter) -> None:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("gpt-2")
        writer.add_token_list([b"a", b"b"])
        writer.add_token_merges(["a b"])

    path = vocabularies.write_gguf(tmp_path / "m.gguf", fill)
    for _ in range(2):
        with pytest.raises(ModelFileError, match="pairs of pieces"):
            Tokenizer.from_path(path)
    assert not cache.exists()


def test_a_cache_that_cannot_be_written_costs_time_alone(
    tmp_path: Path, cache: Path, vocabularies: Any
) -> None:
    cache.parent.mkdir()
    cache.write_bytes(b"a file")
    path = vocabularies.train_byte_level("gpt-2").write(tmp_path / "m.gguf")
    for _ in range(2):
        tokenizer = Tokenizer.from_path(path)
        assert is_whole(tokenizer) and tokenizer.encode("a")


def test_a_vocabulary_needs_no_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vocabularies: Any
) -> None:
    path = vocabularies.train_byte_level("gpt-2").write(tmp_path / "m.gguf")
    (tmp_path / "file").write_bytes(b"no folder")
    monkeypatch.setenv(settings.CACHE_VARIABLE, str(tmp_path / "file"))
    assert is_whole(Tokenizer.from_path(path))


def test_a_cache_that_cannot_be_looked_into_costs_time_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vocabularies: Any
) -> None:
    path = vocabularies.train_byte_level("gpt-2").write(tmp_path / "m.gguf")
    monkeypatch.setenv(settings.CACHE_VARIABLE, str(tmp_path / ("x" * 300)))
    for _ in range(2):
        assert is_whole(Tokenizer.from_path(path))
