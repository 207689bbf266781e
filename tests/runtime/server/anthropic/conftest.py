"""Anthropic's own client of a server."""

from __future__ import annotations

from collections.abc import Iterator

import anthropic
import httpx
import pytest

import halfbyte
from halfbyte.server.shelf import Shelf
from tests.runtime.server.conftest import serving


@pytest.fixture(scope="session")
def anthropic_url(chatting: Shelf) -> Iterator[str]:
    """A server of them."""
    with serving(chatting) as url:
        yield url


@pytest.fixture(scope="session")
def claude(anthropic_url: str) -> Iterator[anthropic.Anthropic]:
    """As a user makes it, but that it does not look for proxies."""
    http = anthropic.DefaultHttpxClient(trust_env=False)
    with anthropic.Anthropic(
        base_url=anthropic_url, api_key="none", max_retries=0, http_client=http
    ) as made:
        yield made


@pytest.fixture(scope="session")
def http_anthropic(anthropic_url: str) -> Iterator[httpx.Client]:
    """A client that sends what it is told."""
    with httpx.Client(base_url=anthropic_url, trust_env=False, timeout=60) as made:
        yield made


@pytest.fixture(scope="session")
def models(chatting: Shelf) -> dict[str, halfbyte.Model]:
    """The served models, for what is right."""
    return {one.name: one.model for one in chatting.loaded()}
