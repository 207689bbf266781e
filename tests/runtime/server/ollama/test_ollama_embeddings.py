"""`/api/embed` gives what `model.embed` gives, through Ollama's own client."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import ollama
import pytest

import halfbyte

TEXTS = ["import os", "def f(x):\n    return x"]


def test_texts_become_vectors(client: ollama.Client, models: dict[str, halfbyte.Model]) -> None:
    model = models["infill-10m"]
    got = client.embed("infill-10m", TEXTS)
    assert np.array_equal(np.array(got.embeddings, np.float32), model.embed(TEXTS))
    n_tokens = sum(len(model.tokenizer.encode(text)) for text in TEXTS)
    assert got.prompt_eval_count == n_tokens and got.total_duration > 0
    one = client.embed("infill-10m:latest", TEXTS[0])
    assert np.array_equal(np.array(one.embeddings[0], np.float32), model.embed(TEXTS[0]))
    assert client.embed("infill-10m", []).embeddings == []


def test_the_first_numbers_alone(client: ollama.Client, models: dict[str, halfbyte.Model]) -> None:
    (got,) = client.embed("infill-10m", TEXTS[0], dimensions=8).embeddings
    whole = np.asarray(models["infill-10m"].embed(TEXTS[0]))[:8]
    assert got == pytest.approx(whole / np.linalg.norm(whole), rel=1e-6)


def test_long_texts_are_cut_if_they_may(
    client: ollama.Client, models: dict[str, halfbyte.Model]
) -> None:
    model, long = models["infill-10m"], "a b " * 600
    (got,) = client.embed("infill-10m", long).embeddings
    ids = model.tokenizer.encode(long)[: model.n_ctx - 1]
    assert np.array_equal(np.array(got, np.float32), model.embed(ids))
    with pytest.raises(ollama.ResponseError, match=r"^input.*tokens of context") as caught:
        client.embed("infill-10m", long, truncate=False)
    assert caught.value.status_code == 400
    with pytest.raises(ollama.ResponseError, match=r"^prompt: .*tokens of context"):
        client.embeddings("infill-10m", long)


def test_as_it_was_before(client: ollama.Client, models: dict[str, halfbyte.Model]) -> None:
    got = client.embeddings("infill-10m", TEXTS[0]).embedding
    expected = models["infill-10m"].embed(TEXTS[0], normalize=False)
    assert np.array_equal(np.array(got, np.float32), expected)
    assert client.embeddings("infill-10m", "").embedding == []


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"input": 1}, "input"), ({"input": ["a", 1]}, "input.1"),
        ({"input": ["a", ""]}, "input.1"),
        ({"input": "a", "dimensions": 0}, "dimensions"), ({"input": ["a"] * 2049}, "input"),
        ({"input": "a", "truncate": "no"}, "truncate"),
        ({"input": "a", "keep_alive": "x"}, "keep"),
    ],
)  # fmt: skip
def test_bad_values_are_named(http_ollama: httpx.Client, body: dict[str, Any], named: str) -> None:
    body = {"model": "infill-10m", **body}
    reply = http_ollama.post("/api/embed", json=body)
    assert reply.status_code == 400 and reply.json()["error"].startswith(named), reply.text
