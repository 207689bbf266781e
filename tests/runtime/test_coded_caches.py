"""What a cache does, it does for codes too: with the same bits as without it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import halfbyte
from halfbyte.errors import CacheFileError, RequestError

PROMPT = "def f(a, b):\n    return a + b\n\n" * 6
ASKED: dict[str, Any] = {"max_tokens": 24, "temperature": 0.7, "seed": 5, "heal": False}


@pytest.fixture(scope="module", params=["int8", "int4"])
def kv_type(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def model(tiny_gguf: Path, kv_type: str) -> Iterator[halfbyte.Model]:
    with halfbyte.load(tiny_gguf, threads=2, kv_type=kv_type) as model:
        yield model


@pytest.fixture
def alone(tiny_gguf: Path, kv_type: str) -> list[int]:
    """An answer without any cache, on one thread."""
    with halfbyte.load(tiny_gguf, threads=1, kv_type=kv_type, prompt_cache_bytes=0) as model:
        return model.complete(PROMPT, **ASKED).tokens


def test_hits_files_guesses_and_company_change_no_bit(
    model: halfbyte.Model, alone: list[int], tiny_gguf: Path, kv_type: str, tmp_path: Path
) -> None:
    assert model.complete(PROMPT, **ASKED).tokens == alone
    again = model.complete(PROMPT, **ASKED)
    assert again.tokens == alone and again.stats.n_reused > 0
    guessed = model.complete(PROMPT, **ASKED, prediction=[*alone[:7], 1, *alone[8:]])
    assert guessed.tokens == alone
    assert model.complete(PROMPT, n=3, **ASKED)[0].tokens == alone
    with ThreadPoolExecutor(3) as callers:
        others = [callers.submit(model.complete, PROMPT[i:], **ASKED) for i in (9, 0, 40)]
        assert others[1].result().tokens == alone
    file = tmp_path / "saved.cache"
    model.save_cache(file)
    with halfbyte.load(tiny_gguf, threads=2, kv_type=kv_type) as other:
        assert other.load_cache(file) > 0
        found = other.complete(PROMPT, **ASKED)
        assert found.tokens == alone and found.stats.n_reused > 0
    wrong = "int4" if kv_type == "int8" else "f16"
    with (
        halfbyte.load(tiny_gguf, threads=1, kv_type=wrong) as other,
        pytest.raises(CacheFileError, match="kv_type") as caught,
    ):
        other.load_cache(file)
    assert kv_type in str(caught.value) and wrong in str(caught.value)


def test_pages_on_disk_are_found_again(
    tiny_gguf: Path, kv_type: str, alone: list[int], tmp_path: Path
) -> None:
    for n_reused in (0, 1):
        with halfbyte.load(
            tiny_gguf, threads=2, kv_type=kv_type, prompt_cache_dir=tmp_path / "folder"
        ) as model:
            assert model.file_hash or model.wait_for_hash() is None
            found = model.complete(PROMPT, **ASKED)
            assert found.tokens == alone and bool(found.stats.n_reused) == bool(n_reused)


def test_memory_is_a_half_and_a_third(tiny_gguf: Path) -> None:
    nbytes = {}
    for kv_type in ("f16", "int8", "int4"):
        with halfbyte.load(tiny_gguf, threads=1, kv_type=kv_type) as model:
            nbytes[kv_type] = model.kv_nbytes(1)
    assert nbytes["int8"] == nbytes["f16"] * 52 // 96  # heads of 16, padded values, scales
    assert nbytes["int4"] == nbytes["f16"] * 32 // 96


def test_a_context_that_memory_cannot_hold_is_refused_with_the_numbers(tiny_gguf: Path) -> None:
    with pytest.raises(RequestError, match=r"at most \d+ tokens as int8.*GB as int4") as caught:
        halfbyte.load(tiny_gguf, kv_type="int8", ctx=1 << 30)
    assert caught.value.param == "ctx" and str(1 << 30) in str(caught.value)
