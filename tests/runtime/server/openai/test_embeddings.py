"""`/v1/embeddings` gives the vectors of `embed`, through OpenAI's own client."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import numpy as np
import openai
import pytest

import halfbyte
from halfbyte.server.openai.embeddings import MAX_INPUTS

NAME, TEXTS = "infill-10m", ["import os\n", "def f(x):", "é"]


def test_each_input_has_its_vector(client: openai.OpenAI, model: halfbyte.Model) -> None:
    ids = [model.tokenizer.encode(text) for text in TEXTS]
    given: Any
    for given in (TEXTS, ids, TEXTS[0], ids[0]):
        expected = model.embed(given).reshape(-1, model.config.dim)
        n_tokens = sum(map(len, ids[: len(expected)]))
        for how in ({}, {"encoding_format": "float"}):  # base64 is the client's own default
            got = client.embeddings.create(model=NAME, input=given, **how)  # type: ignore[arg-type]
            assert [one.index for one in got.data] == list(range(len(expected)))
            vectors = np.array([one.embedding for one in got.data], np.float32)
            assert np.array_equal(vectors, expected)
            assert got.usage.prompt_tokens == got.usage.total_tokens == n_tokens
    whole = client.embeddings.create(model=NAME, input="a", dimensions=model.config.dim)
    assert len(whole.data[0].embedding) == model.config.dim


def test_awaited(url: str, model: halfbyte.Model) -> None:
    async def ask() -> list[list[float]]:
        async with openai.AsyncOpenAI(
            base_url=f"{url}/v1", api_key="none", http_client=httpx.AsyncClient(trust_env=False)
        ) as client:
            calls = [client.embeddings.create(model=NAME, input=text) for text in TEXTS]
            return [one.data[0].embedding for one in await asyncio.gather(*calls)]

    assert np.array_equal(np.array(asyncio.run(ask()), np.float32), model.embed(TEXTS))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("input", None), ("input", ""), ("input", []), ("input", [""]), ("input", [[]]),
        ("input", 5), ("input", ["a", 5]), ("input", [True]), ("input", [-1]),
        ("input", [10**6]), ("input", [[10**6]]), ("input", {}),
        ("input", ["a"] * (MAX_INPUTS + 1)), ("input", "x = 1\n" * 1000),
        ("input", ["a", "x = 1\n" * 1000]),
        ("encoding_format", "int8"), ("encoding_format", 5), ("dimensions", 0),
        ("dimensions", 128), ("dimensions", True), ("dimensions", 10**30), ("model", 5),
    ],
)  # fmt: skip
def test_a_bad_field_is_named(http: httpx.Client, name: str, value: Any) -> None:
    answer = http.post("/v1/embeddings", json={"input": "a", name: value})
    error = answer.json()["error"]
    assert answer.status_code == 400, answer.text
    assert error["param"].partition(".")[0].partition("[")[0] == name, error
    assert error["message"].startswith(error["param"])
