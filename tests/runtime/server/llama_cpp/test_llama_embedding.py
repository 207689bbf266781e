"""Vectors in llama.cpp's shape are the library's, scaled as is asked."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest

from halfbyte.server.shelf import Shelf


def _vectors(http: httpx.Client, path: str = "/embedding", **fields: Any) -> list[Any]:
    got = http.post(path, json=fields)
    assert got.status_code == 200, got.text
    assert [one["index"] for one in got.json()] == list(range(len(got.json())))
    return [one["embedding"][0] for one in got.json()]


def test_they_are_the_librarys(http: httpx.Client, shelf: Shelf) -> None:
    model = shelf.loaded()[0].model
    first, second = model.embed(["import os", "def f"]).tolist()
    assert _vectors(http, content="import os") == [first]
    assert _vectors(http, "/embeddings", input=["import os", "def f"]) == [first, second]
    ids = model.tokenizer.encode("import os")
    assert _vectors(http, content=ids) == _vectors(http, content=[ids]) == [first]


@pytest.mark.parametrize("how", [-1, 0, 1, 2, 3])
def test_they_are_scaled(http: httpx.Client, shelf: Shelf, how: int) -> None:
    raw = shelf.loaded()[0].model.embed("import os", normalize=False).astype(np.float64)
    sizes = {-1: 1.0, 0: np.abs(raw).max() / 32760.0}
    size = sizes[how] if how in sizes else np.linalg.norm(raw, how)
    (got,) = _vectors(http, content="import os", embd_normalize=how)
    np.testing.assert_allclose(got, raw / size, rtol=2e-6)


@pytest.mark.parametrize("bad", [None, "", [], [""], [[]], 3, [[1], 2], [1 << 20], ["a"] * 2049])
def test_bad_texts_are_named(http: httpx.Client, bad: Any) -> None:
    got = http.post("/embedding", json={"content": bad})
    assert got.status_code == 400 and "content" in got.json()["error"]["message"]
