"""Products in bf16, as `load` is asked for them: caches and company change none of their bits."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import halfbyte
from halfbyte.errors import CacheFileError

PROMPT = "def f(a, b):\n    return a + b\n\n" * 6
ASKED: dict[str, Any] = {"max_tokens": 24, "temperature": 0.7, "seed": 5, "heal": False}


def test_hits_guesses_and_company_change_no_bit(tiny_gguf: Path, tmp_path: Path) -> None:
    how: dict[str, Any] = {"arithmetic": "bf16"}
    with halfbyte.load(tiny_gguf, threads=1, prompt_cache_bytes=0, **how) as model:
        alone = model.complete(PROMPT, **ASKED).tokens
        assert ", bf16, ctx " in repr(model)
    file = tmp_path / "saved.cache"
    with halfbyte.load(tiny_gguf, threads=2, **how) as model:
        assert model.complete(PROMPT, **ASKED).tokens == alone
        again = model.complete(PROMPT, **ASKED)
        assert again.tokens == alone and again.stats.n_reused > 0
        guessed = model.complete(PROMPT, **ASKED, prediction=[*alone[:7], 1, *alone[8:]])
        assert guessed.tokens == alone
        with ThreadPoolExecutor(3) as callers:
            others = [callers.submit(model.complete, PROMPT[i:], **ASKED) for i in (9, 0, 40)]
            assert others[1].result().tokens == alone
        model.save_cache(file)
    with halfbyte.load(tiny_gguf, threads=1, **how) as model:
        assert model.load_cache(file) > 0 and model.complete(PROMPT, **ASKED).tokens == alone
    with (
        halfbyte.load(tiny_gguf, threads=1) as model,
        pytest.raises(CacheFileError, match="arithmetic"),
    ):
        model.load_cache(file)


# SHA-256 of logits, float32: the packaged model's, of its first 60 tokens in their order.
GOLDEN = "1d3e8701e25becc1828260240742ecf6af741a410fc04f10d6c24dfaed6c4743"


def test_logits_are_those_that_were_recorded() -> None:
    with halfbyte.load("infill-10m", threads=2, arithmetic="bf16", draft=False) as model:
        logits = model.logits(list(range(1, 61)))
    with halfbyte.load("infill-10m", threads=2, draft=False) as model:
        usual = model.logits(list(range(1, 61)))
    error = np.sqrt(((logits - usual) ** 2).mean() / (usual**2).mean())
    assert 1e-4 < error < 3e-2  # of both arithmetics together
    assert hashlib.sha256(np.ascontiguousarray(logits)).hexdigest() == GOLDEN
