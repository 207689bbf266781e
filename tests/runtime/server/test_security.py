"""Names, pages and keys that are not known get an error in the protocol's shape, and no answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from halfbyte.server.security import _host_name
from halfbyte.server.server_settings import ServerSettings
from halfbyte.server.shelf import Shelf

KEYS = {"sk-of-alice": "alice", "sk-of-bob": "bob"}
BODY = {"prompt": "x = 1\n" * 60, "max_tokens": 1}


@pytest.fixture(scope="module")
def locked(shelf: Shelf, serve: Any) -> Iterator[str]:
    """A server with keys, a name and a page."""
    settings = ServerSettings(
        keys=KEYS, hosts=("box.example", ".lan"), origins=("https://chat.example",)
    )
    with serve(shelf, settings) as url:
        yield url


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, timeout=60) as made:
        yield made


Get = Callable[..., httpx.Response]


@pytest.fixture
def get(client: httpx.Client) -> Get:
    def get(url: str, path: str = "/metrics", **headers: str) -> httpx.Response:
        return client.get(url + path, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return get


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200), ("LOCALHOST:8012", 200), ("127.0.0.1:1", 200), ("[::1]:8012", 200),
        ("192.168.0.7", 200), ("a.localhost", 200),
        ("evil.example", 403), ("box.example", 403), ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example:8012", 403), ("", 403), ("a@localhost", 403),
    ],
)  # fmt: skip
def test_only_names_of_this_machine(get: Get, url: str, host: str, status: int) -> None:
    answer = get(url, "/health", host=host)
    assert answer.status_code == status
    if status == 403:
        assert answer.json()["error"]["message"].startswith("host: expected a name of this machine")


def test_names_that_are_allowed(get: Get, locked: str) -> None:
    for host in ("box.example", "BOX.example:80", "pc.lan"):
        assert get(locked, "/health", host=host).status_code == 200
    assert get(locked, "/health", host="lan").status_code == 403


def test_two_hosts_are_none(url: str, talk: Any) -> None:
    said = talk(url, b"GET /health HTTP/1.1\r\nhost: localhost\r\nhost: evil\r\n"
                b"connection: close\r\n\r\n")  # fmt: skip
    assert said.startswith(b"HTTP/1.1 400") and b"expected one, got several" in said


def test_pages_of_others_get_nothing(get: Get, url: str) -> None:
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1"):
        answer = get(url, "/health", origin=origin)
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers
    answer = get(url, "/health", origin=url)  # its own pages
    assert answer.status_code == 200 and "access-control-allow-origin" not in answer.headers


def test_pages_that_are_allowed(get: Get, client: httpx.Client, locked: str) -> None:
    origin = "https://chat.example"
    answer = get(locked, "/health", origin=origin)
    assert answer.headers["access-control-allow-origin"] == origin
    asked = {"origin": origin, "access-control-request-method": "POST",
             "access-control-request-headers": "authorization"}  # fmt: skip
    answer = client.options(f"{locked}/v1/completions", headers=asked)  # browsers send no key
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-headers"] == "authorization"
    refused = get(locked, origin=origin)
    assert refused.status_code == 401  # and a page can read why
    assert refused.headers["access-control-allow-origin"] == origin


def test_keys_open_what_needs_one(get: Get, locked: str) -> None:
    assert get(locked, "/health").status_code == 200
    for path in ("/metrics", "/v1/completions", "/nothing"):
        answer = get(locked, path)
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "invalid_api_key"
        assert answer.headers["www-authenticate"] == "Bearer"
    for wrong in ("Bearer", "Bearer sk-of-alic", "Bearer sk-of-alice2", "sk-of-alice", "Basic x"):
        assert get(locked, authorization=wrong).status_code == 401
    for right in ("Bearer sk-of-alice", "bearer   sk-of-bob"):
        assert get(locked, authorization=right).status_code == 200
    assert get(locked, x_api_key="sk-of-bob").status_code == 200


def test_what_one_key_asked_no_other_can_tell(client: httpx.Client, locked: str) -> None:
    def n_cached(key: str) -> int:
        answer = client.post(f"{locked}/v1/completions", json=BODY, headers={"x-api-key": key})
        return answer.json()["usage"]["prompt_tokens_details"]["cached_tokens"]

    first, second, others = n_cached("sk-of-alice"), n_cached("sk-of-alice"), n_cached("sk-of-bob")
    assert (first, others) == (0, 0) and second > 100


def test_an_empty_bearer_is_as_good_as_any_without_keys(url: str, talk: Any) -> None:
    for given in (b"Bearer ", b"Bearer anything", b"nonsense", b"\xff"):
        head = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
        said = talk(url, head + b"authorization: " + given + b"\r\n\r\n")
        assert said.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("host", "name"),
    [("A.b:80", "a.b"), ("[::1]:80", "::1"), ("[::1]", "::1"), ("a.", "a"), ("a:b", "a:b")],
)
def test_a_host_without_its_port(host: str, name: str) -> None:
    assert _host_name(host) == name
