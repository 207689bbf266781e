"""Answers in one go: what `complete` gives for prompts of each kind, alone and together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import halfbyte

PROMPT = "ab cd ef"


@pytest.fixture(scope="module")
def model(tiny_gguf: Path) -> Iterator[halfbyte.Model]:
    with halfbyte.load(tiny_gguf, threads=2) as loaded:
        yield loaded


def test_completion_follows_the_logits_greedily(model: halfbyte.Model) -> None:
    ids = model.tokenizer.encode(PROMPT)
    done = model.complete(PROMPT, max_tokens=12)
    assert done.stats.n_prompt == len(ids)
    for token in done.tokens:
        assert int(model.logits(ids)[-1].argmax()) == token
        ids.append(token)
    assert done.text == b"".join(map(model.tokenizer.token_bytes, done.tokens)).decode(
        errors="replace"
    )


def test_text_ids_and_numpy_prompts_agree(model: halfbyte.Model) -> None:
    ids = model.tokenizer.encode(PROMPT)
    tokens = model.complete(PROMPT, max_tokens=8).tokens
    assert model.complete(ids, max_tokens=8).tokens == tokens
    assert model.complete(np.array(ids), max_tokens=8).tokens == tokens
    assert model.complete(tuple(ids), max_tokens=8).tokens == tokens


def test_a_list_of_prompts_gives_what_each_gives_alone(model: halfbyte.Model) -> None:
    prompts = ["ab", "some longer text here", [1, 5, 9], "x" * 50]
    together = model.complete(prompts, max_tokens=10, temperature=0.9, seed=4)
    alone = [
        model.complete(p, max_tokens=10, temperature=0.9, seed=4 + i) for i, p in enumerate(prompts)
    ]
    assert [c.tokens for c in together] == [c.tokens for c in alone]
    assert [c.text for c in together] == [c.text for c in alone]


@pytest.mark.parametrize("seed", [None, 4])
def test_equal_prompts_get_different_answers(model: halfbyte.Model, seed: int | None) -> None:
    done = model.complete([PROMPT] * 6, max_tokens=10, temperature=1.0, seed=seed)
    assert len({tuple(d.tokens) for d in done}) == 6


def test_more_prompts_than_run_together(model: halfbyte.Model) -> None:
    prompts = [[1, i + 3] for i in range(40)]
    together = model.complete(prompts, max_tokens=3)
    assert [c.tokens for c in together] == [model.complete(p, max_tokens=3).tokens for p in prompts]
