"""Ollama's own client of a server."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import ollama
import pytest

import halfbyte
from halfbyte.server.shelf import Shelf
from tests.runtime.server.conftest import serving


@pytest.fixture(scope="session")
def ollama_url(chatting: Shelf) -> Iterator[str]:
    """A server of them."""
    with serving(chatting) as url:
        yield url


@pytest.fixture(scope="session")
def client(ollama_url: str) -> Iterator[ollama.Client]:
    """As a user makes it, but that it does not look for proxies."""
    with ollama.Client(ollama_url, trust_env=False) as made:
        yield made


@pytest.fixture(scope="session")
def http_ollama(ollama_url: str) -> Iterator[httpx.Client]:
    """A client that sends what it is told."""
    with httpx.Client(base_url=ollama_url, trust_env=False, timeout=60) as made:
        yield made


@pytest.fixture(scope="session")
def models(chatting: Shelf) -> dict[str, halfbyte.Model]:
    """The served models, for what is right."""
    return {one.name: one.model for one in chatting.loaded()}
