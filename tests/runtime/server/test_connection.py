"""Clients that are slow, that send nonsense, that do not read, that are very many."""

from __future__ import annotations

import asyncio
import contextlib
import json
import select
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import uvicorn
from uvicorn.server import ServerState

from halfbyte.server import connection
from halfbyte.server.server_settings import ServerSettings
from halfbyte.server.shelf import Shelf

Talk = Callable[..., bytes]
HEAD = b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\n"
GET = b"GET /health HTTP/1.1\r\nhost: localhost\r\n"


def connect(url: str) -> socket.socket:
    host, port = url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), 30)


@pytest.mark.parametrize(
    "data",
    [b"nonsense\r\n\r\n", b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n",
     HEAD + b"content-length: -1\r\n\r\n", HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\n",
     HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n", GET + b"bad header\r\n\r\n"],
)  # fmt: skip
def test_what_is_no_http_is_refused(url: str, talk: Talk, data: bytes) -> None:
    said = talk(url, data)
    assert said.startswith(b"HTTP/1.1 400")
    assert json.loads(said.partition(b"\r\n\r\n")[2])["error"]["type"] == "invalid_request_error"


def test_a_flood_of_headers_is_refused(url: str, talk: Talk) -> None:
    many = b"".join(b"x-%d: 1\r\n" % i for i in range(500))
    long = b"x: " + b"a" * 70_000 + b"\r\n"
    endless = b"x: " + b"a" * 70_000
    for flood in (many + b"\r\n", long + b"\r\n", endless):
        assert talk(url, GET + flood).startswith(b"HTTP/1.1 431")
    assert talk(url, b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 431")


def test_halves_are_not_waited_for(url: str, talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_S", 0.1)
    monkeypatch.setattr(connection, "BODY_S", 0.1)
    assert talk(url, b"") == b""
    for half in (
        b"GET",
        GET,
        HEAD + b"content-length: 5\r\n\r\n",
        HEAD + b"content-length: 5\r\n\r\n{",
    ):
        assert talk(url, half).startswith(b"HTTP/1.1 408")
    whole = talk(url, GET + b"\r\n" + b"GET /hea")  # the second one is half
    assert whole.startswith(b"HTTP/1.1 200") and b"HTTP/1.1 408" in whole


@pytest.mark.parametrize("bad", [b"nonsense", HEAD + b"transfer-encoding: chunked\r\n\r\nZ"])
@pytest.mark.parametrize("is_stream", [False, True])
def test_what_is_wrong_spoils_no_answer_before(
    url: str, talk: Talk, bad: bytes, is_stream: bool
) -> None:
    body = json.dumps({"prompt": "a", "max_tokens": 20, "stream": is_stream}).encode()
    first = HEAD + b"content-length: %d\r\n\r\n%b" % (len(body), body)
    said = talk(url, first + GET + b"\r\n" + bad + b"\r\n\r\n")
    assert said.count(b"HTTP/1.1 200") == 2 and b"HTTP/1.1 4" not in said
    assert said.index(b'"finish_reason":"length"') < said.index(b'{"status":"ok"}')


def test_a_body_does_not_trickle(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BODY_S", 0.2)
    with connect(url) as client:
        client.sendall(HEAD + b"content-length: 5000\r\n\r\n")
        with contextlib.suppress(OSError):  # it is closed meanwhile
            for _ in range(500):  # never a wait of BODY_S
                client.sendall(b" ")
                if select.select([client], [], [], 0.02)[0]:
                    break
        assert client.recv(100).startswith(b"HTTP/1.1 408")


def test_several_at_once_are_answered_in_turn(url: str, talk: Talk) -> None:
    said = talk(url, GET + b"\r\n" + GET + b"\r\n" + GET + b"connection: close\r\n\r\n")
    assert said.count(b"HTTP/1.1 200") == 3
    said = talk(url, GET + b"\r\n" + b"garbage\r\n\r\n")
    assert (said.count(b"HTTP/1.1 ") <= 2 and b"HTTP/1.1 400" in said) or said.count(b"200 OK") == 1


def test_garbage_behind_a_stream_does_not_land_in_it(url: str, talk: Talk) -> None:
    body = json.dumps({"prompt": "x", "max_tokens": 40, "stream": True}).encode()
    with connect(url) as client:
        client.sendall(HEAD + b"content-length: %d\r\n\r\n" % len(body) + body)
        said = client.recv(1000)
        client.sendall(b"garbage\r\n\r\n")
        while part := client.recv(1 << 16):
            said += part
    assert said.count(b"HTTP/1.1") == 1 and said.endswith(b"0\r\n\r\n") and b"[DONE]" in said


def test_a_body_that_is_too_large_is_refused_before_it_is_whole(serve: Any, shelf: Shelf) -> None:
    with serve(shelf, ServerSettings(max_body=1000)) as url, connect(url) as client:
        client.sendall(HEAD + b"content-length: 1000000\r\n\r\n" + b" " * 2000)
        assert client.recv(1000).startswith(b"HTTP/1.1 413")


def test_who_does_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "READER_S", 0.1)

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        leaving = asyncio.ensure_future(_gone(receive))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while not leaving.done():
            part = {"type": "http.response.body", "body": bytes(1 << 20), "more_body": True}
            await send(part)
            await asyncio.sleep(0)

    async def given_up() -> None:
        async with _served(endless) as (state, writer):
            writer.write(GET + b"\r\n")
            await _ended(state)
            writer.transport.abort()

    asyncio.run(given_up())


@pytest.mark.parametrize("is_at_once", [True, False])
def test_who_leaves_is_missed_by_what_is_answered_not_by_what_waits_alone(
    is_at_once: bool,
) -> None:
    missed = []

    async def waiting(scope: Any, receive: Any, send: Any) -> None:
        await _gone(receive)
        missed.append(scope["path"])

    async def leave() -> None:
        async with _served(waiting) as (state, writer):
            writer.write(GET + b"\r\n" + (GET if is_at_once else b""))
            while not state.tasks:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            writer.write(b"\r\n" if is_at_once else GET + b"\r\n")
            await asyncio.sleep(0.05)
            writer.close()
            await _ended(state)

    asyncio.run(leave())
    assert missed == ["/health"]


async def _gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


@contextlib.asynccontextmanager
async def _served(app: Any) -> AsyncIterator[tuple[ServerState, asyncio.StreamWriter]]:
    """What answers a connection of its own, and what writes to that."""
    config = uvicorn.Config(app, http=connection.Connection, ws="none", lifespan="off")
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()

    def made() -> connection.Connection:
        return connection.Connection(config=config, server_state=state, app_state={})

    server = await loop.create_server(made, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        _reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        yield state, writer


async def _ended(state: ServerState) -> None:
    """Until requests have come, and are over."""
    while not state.tasks:
        await asyncio.sleep(0.01)
    await asyncio.wait_for(asyncio.gather(*state.tasks), 20)


def test_two_thousand_connections_are_none_too_many(url: str, http: httpx.Client) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    n = min(2000, (hard - 200) // 2)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * n + 200), hard))
    idle = [connect(url) for _ in range(n)]
    try:
        assert http.get("/health").status_code == 200
        for one in idle[::100]:
            one.sendall(GET + b"\r\n")
            assert one.recv(1000).startswith(b"HTTP/1.1 200")
    finally:
        for one in idle:
            one.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_beyond_its_limit_of_connections_it_says_so(
    url: str, talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MOST_CONNECTIONS", 0)
    assert talk(url, b"").startswith(b"HTTP/1.1 503")
