"""OpenAI's own client of the server."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import openai
import pytest

import halfbyte
from halfbyte.server.shelf import Shelf


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    """As a user makes it, but that it does not look for proxies."""
    with openai.OpenAI(
        base_url=f"{url}/v1", api_key="none", http_client=httpx.Client(trust_env=False)
    ) as made:
        yield made


@pytest.fixture
def model(shelf: Shelf) -> halfbyte.Model:
    """The served model, for what is right."""
    return shelf.loaded()[0].model
