"""Clients that leave while they wait or while their prompt is processed: the engine is free."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from halfbyte.server.ask import Ask
from halfbyte.server.exchange import shortened
from halfbyte.server.llama_cpp import tokenizing
from halfbyte.server.server_settings import ServerSettings
from halfbyte.server.shelf import Shelf

PROMPT = "".join(f"value_{i} = {i}\n" for i in range(40))


def ask(url: str, **more: Any) -> socket.socket:
    body = json.dumps({"prompt": PROMPT, "max_tokens": 400, "temperature": 1, "stop": ["\0"],
                       **more}).encode()  # fmt: skip
    host, port = url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), 30)
    connection.sendall(
        b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%b"
        % (len(body), body)
    )
    return connection


def wait_for(is_so: Any) -> None:
    end_s = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < end_s
        time.sleep(0.002)


def n_waiting(url: str) -> int:
    """What the server says of its queue."""
    text = httpx.get(f"{url}/metrics", trust_env=False).text
    found = re.search(r"^halfbyte:num_requests_waiting(?:\{.*\})? (\d+)", text, re.MULTILINE)
    assert found is not None, text
    return int(found[1])


@pytest.mark.parametrize("stream", [False, True])
def test_who_leaves_mid_prefill_frees_the_engine(
    shelf: Shelf, serve: Any, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    model = shelf.loaded()[0].model
    batch, forward = model.scheduler._worker.batch, model.engine.forward
    steps: list[int] = []

    def slow(spans: Any, *args: Any) -> Any:
        steps.append(sum(len(span.tokens) for span in spans))
        time.sleep(0.05)
        return forward(spans, *args)

    monkeypatch.setattr(model.engine, "forward", slow)
    with serve(shelf) as url:
        connection = ask(url, prompt=f"{stream}\n{PROMPT}", stream=stream)
        wait_for(lambda: steps)
        connection.close()
        wait_for(lambda: batch.is_idle)
    assert len(steps) < 20  # of 400 that an answer would have taken


def test_who_leaves_the_queue_is_never_begun(shelf: Shelf, serve: Any) -> None:
    model = shelf.loaded()[0].model
    begun: list[Any] = []
    submit = model.scheduler.submit
    with serve(shelf, ServerSettings(n_places=1)) as url, pytest.MonkeyPatch.context() as patch:
        patch.setattr(model.scheduler, "submit", lambda r: (begun.append(r), submit(r))[1])
        first = ask(url, stream=True)
        assert first.recv(12) == b"HTTP/1.1 200"
        second = ask(url)
        wait_for(lambda: n_waiting(url) == 1)
        second.close()
        wait_for(lambda: n_waiting(url) == 0)
        third = ask(url, max_tokens=1)
        wait_for(lambda: n_waiting(url) == 1)
        first.close()
        assert third.recv(12) == b"HTTP/1.1 200"
        third.close()
        assert len(begun) == 2
        wait_for(lambda: model.scheduler._worker.batch.is_idle)


def test_waiting_counts_towards_the_timeout(shelf: Shelf, serve: Any) -> None:
    with serve(shelf, ServerSettings(n_places=1, timeout=0.3)) as url:
        first, second = ask(url, n=16), ask(url)
        assert second.recv(12) == b"HTTP/1.1 504"
        assert first.recv(12) == b"HTTP/1.1 504"
        first.close()
        second.close()


def test_embeddings_keep_to_the_timeout(shelf: Shelf, serve: Any) -> None:
    body = {"input": [PROMPT[:300]] * 2048}
    with serve(shelf, ServerSettings(timeout=0.2)) as url:
        answer = httpx.post(f"{url}/v1/embeddings", json=body, timeout=30, trust_env=False)
    assert answer.status_code == 504
    wait_for(lambda: shelf.loaded()[0].model.scheduler._worker.batch.is_idle)


def test_a_prediction_is_no_longer_than_an_answer_can_be(shelf: Shelf) -> None:
    served = shelf.loaded()[0]
    most = served.model.n_ctx * served.model.tokenizer.max_piece_nbytes
    for given, kept in (("x" * (most + 9), "x" * most), ("x" * most, "x" * most), ([5], [5])):
        ask = shortened(served, Ask("complete", ("a",), {"prediction": given, "seed": 1}))
        assert ask.options == {"prediction": kept, "seed": 1}


def test_who_only_has_tokens_made_waits_for_a_turn(
    shelf: Shelf, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many ask for that, few threads do it, and answers do not wait for them."""
    go, begun = threading.Event(), []

    def slow(*args: Any, **keywords: Any) -> list[int]:
        begun.append(1)
        assert go.wait(30)
        return [1]

    monkeypatch.setattr(tokenizing, "ids_of", slow)
    with serve(shelf) as url, httpx.Client(base_url=url, trust_env=False, timeout=30) as client:

        def tokenized(_: int) -> int:
            return client.post("/tokenize", json={"content": "a"}).status_code

        with ThreadPoolExecutor(9) as pool:
            asked = pool.map(tokenized, range(9))
            wait_for(lambda: begun)
            answer = client.post("/v1/completions", json={"prompt": "a", "max_tokens": 1})
            assert answer.status_code == 200 and len(begun) <= 2
            go.set()
            assert list(asked) == [200] * 9
    assert len(begun) == 9
