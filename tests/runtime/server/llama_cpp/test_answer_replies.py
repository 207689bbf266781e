"""Several prompts of one request: where one is refused, the others are given up."""

from __future__ import annotations

import time

import httpx

from halfbyte.server.shelf import Shelf

LONG = {"n_predict": 400, "temperature": 1, "ignore_eos": True}


def test_one_bad_prompt_gives_up_the_others(http: httpx.Client, shelf: Shelf) -> None:
    got = http.post("/completion", json={"prompt": ["def f(", "x " * 600], **LONG})
    assert got.status_code == 400
    assert got.json()["error"]["type"] == "exceed_context_size_error"
    end_s = time.monotonic() + 30
    while not shelf.loaded()[0].model.scheduler._worker.batch.is_idle:
        assert time.monotonic() < end_s
        time.sleep(0.01)
