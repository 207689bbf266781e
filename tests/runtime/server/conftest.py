"""A server in this process, on a port of its own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import httpx
import pytest
import uvicorn

import halfbyte
from halfbyte.server.app import make_app
from halfbyte.server.connection import Connection
from halfbyte.server.server_settings import ServerSettings
from halfbyte.server.shelf import Shelf
from tests.runtime.server.chat_models import chat_models


@contextmanager
def serving(shelf: Shelf, settings: ServerSettings | None = None) -> Iterator[str]:
    """The URL of a server in a thread."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        make_app(shelf, settings), http=Connection, ws="none", loop="asyncio",
        log_level="warning", lifespan="off",
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture(scope="session")
def shelf() -> Iterator[Shelf]:
    """The model that comes with the package, which infills and has no chat template."""
    with halfbyte.load("infill-10m") as model:
        made = Shelf({"infill-10m": "infill-10m"}, halfbyte.load)
        made.put("infill-10m", model)
        yield made


@pytest.fixture(scope="session")
def chatting(shelf: Shelf, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    """`calls` calls functions, `thinks` thinks and calls, `infill-10m` has no template."""
    with chat_models(tmp_path_factory.mktemp("chatting"), shelf.models()) as made:
        yield made


@pytest.fixture(scope="session")
def models(chatting: Shelf) -> dict[str, halfbyte.Model]:
    """These models, for what is right."""
    return chatting.models()


@pytest.fixture(scope="session")
def chat_url(chatting: Shelf) -> Iterator[str]:
    """A server of them."""
    with serving(chatting) as made:
        yield made


@pytest.fixture(scope="session")
def url(shelf: Shelf) -> Iterator[str]:
    """A server of that model."""
    with serving(shelf) as made:
        yield made


@pytest.fixture
def http(url: str) -> Iterator[httpx.Client]:
    """A client of it, which does not look for proxies."""
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        yield client


@pytest.fixture
def talk() -> Callable[..., bytes]:
    """What a server says to bytes, up to where it closes the connection."""

    def talk(url: str, data: bytes, timeout: float = 30) -> bytes:
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout) as connection:
            connection.sendall(data)
            said = b""
            while part := connection.recv(1 << 16):
                said += part
            return said

    return talk


@pytest.fixture(scope="session")
def serve() -> Callable[..., AbstractContextManager[str]]:
    """`serving`, for settings of one's own."""
    return serving
