"""OpenAI's own client of servers, and the models that these serve."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import openai
import pytest

import halfbyte
from halfbyte.server.served_model import ServedModel
from halfbyte.server.shelf import Shelf


@pytest.fixture
def chatter(chat_url: str) -> Iterator[openai.OpenAI]:
    """OpenAI's client of that server."""
    with openai.OpenAI(
        base_url=f"{chat_url}/v1", api_key="none", max_retries=0,
        http_client=httpx.Client(trust_env=False, timeout=60),
    ) as made:  # fmt: skip
        yield made


@pytest.fixture
def post(chat_url: str) -> Iterator[httpx.Client]:
    """A plain client of it."""
    with httpx.Client(base_url=chat_url, trust_env=False, timeout=60) as client:
        yield client


@pytest.fixture
def tools_model(models: dict[str, halfbyte.Model]) -> halfbyte.Model:
    """The model that calls functions."""
    return models["calls"]


@pytest.fixture
def thinking_model(models: dict[str, halfbyte.Model]) -> halfbyte.Model:
    """The model that thinks."""
    return models["thinks"]


@pytest.fixture
def served_tools(chatting: Shelf) -> ServedModel:
    """The model that calls functions, as protocols see it."""
    return next(one for one in chatting.loaded() if one.name == "calls")


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
