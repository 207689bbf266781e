"""Ollama's own client of a server."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import ollama
import pytest


@pytest.fixture(scope="session")
def client(chat_url: str) -> Iterator[ollama.Client]:
    """As a user makes it, but that it does not look for proxies."""
    with ollama.Client(chat_url, trust_env=False) as made:
        yield made


@pytest.fixture(scope="session")
def http_ollama(chat_url: str) -> Iterator[httpx.Client]:
    """A client that sends what it is told."""
    with httpx.Client(base_url=chat_url, trust_env=False, timeout=60) as made:
        yield made
