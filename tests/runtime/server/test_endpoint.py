"""Bodies within limits, and clients that hang up."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from typing import Any

import httpx

from halfbyte.server.server_settings import ServerSettings
from halfbyte.server.shelf import Shelf

BODY = {"prompt": "def f(", "max_tokens": 400, "temperature": 1, "stop": ["\0"]}


def test_who_hangs_up_is_forgotten(url: str, shelf: Shelf) -> None:
    host, port = url.removeprefix("http://").split(":")
    body = json.dumps({**BODY, "stream": True}).encode()
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%b"
            % (len(body), body)
        )
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    model = shelf.loaded()[0].model
    end_s = time.monotonic() + 30
    while model.scheduler._worker.batch.is_idle is False:
        assert time.monotonic() < end_s
        time.sleep(0.01)


def test_what_is_no_json_is_refused(http: httpx.Client) -> None:
    for body in (b"", b"{", b"[]", b'{"a": NaN}', b"\xff", b"[" * 1000, b'{"prompt": "\\ud800"}'):
        answer = http.post("/v1/completions", content=body)
        assert answer.status_code == 400
        assert answer.json()["error"]["message"].startswith("body: expected")


def test_what_nobody_serves_is_not_found(http: httpx.Client) -> None:
    assert http.get("/nothing").status_code == 404
    assert http.get("/v1/completions").status_code == 405
    assert http.get("/health%0a").status_code == 404


def test_a_large_body_is_read_beside_the_event_loop(http: httpx.Client) -> None:
    text = "x" * (1 << 20)
    answer = http.post("/v1/completions", json={"prompt": "a", "max_tokens": 1, "user": text})
    assert answer.status_code == 200
    answer = http.post("/v1/completions", json={"prompt": [text], "n": 0})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "n")
    assert http.post("/v1/completions", content="[" + text).status_code == 400


def test_bodies_under_way_have_an_end_together(shelf: Shelf, serve: Any) -> None:
    """Those that come slowly take room too."""
    head = b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n"
    settings = ServerSettings(max_body=1000)
    with serve(shelf, settings) as url, contextlib.ExitStack() as stack:
        host, port = url.removeprefix("http://").split(":")
        slow = [stack.enter_context(socket.create_connection((host, int(port)))) for _ in range(4)]
        for one in slow:
            one.sendall(head + b" " * 950)
        client = stack.enter_context(httpx.Client(base_url=url, trust_env=False))

        def answer() -> httpx.Response:
            body = b'{"content": "a"}'.ljust(300)
            return client.post("/v1/messages/count_tokens", content=body)

        end_s = time.monotonic() + 30
        while (refused := answer()).status_code != 429:
            assert time.monotonic() < end_s
        assert refused.json()["error"]["type"] == "rate_limit_error"
        assert int(refused.headers["retry-after"]) >= 1
        for one in slow:
            one.close()
        while answer().status_code != 400:
            assert time.monotonic() < end_s
