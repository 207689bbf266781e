"""Anthropic's own client of a server."""

from __future__ import annotations

from collections.abc import Iterator

import anthropic
import httpx
import pytest


@pytest.fixture(scope="session")
def claude(chat_url: str) -> Iterator[anthropic.Anthropic]:
    """As a user makes it, but that it does not look for proxies."""
    http = anthropic.DefaultHttpxClient(trust_env=False)
    with anthropic.Anthropic(
        base_url=chat_url, api_key="none", max_retries=0, http_client=http
    ) as made:
        yield made


@pytest.fixture(scope="session")
def http_anthropic(chat_url: str) -> Iterator[httpx.Client]:
    """A client that sends what it is told."""
    with httpx.Client(base_url=chat_url, trust_env=False, timeout=60) as made:
        yield made
