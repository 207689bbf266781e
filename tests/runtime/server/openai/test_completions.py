"""`/v1/completions` gives what the library gives, through OpenAI's own client."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import openai
import pytest

from halfbyte.server.shelf import Shelf

PROMPT = "import numpy as np\n\n\ndef mean("


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"{url}/v1", api_key="none", http_client=httpx.Client(trust_env=False)
    ) as made:
        yield made


def test_a_text_goes_on(client: openai.OpenAI, shelf: Shelf) -> None:
    got = client.completions.create(model="infill-10m", prompt=PROMPT, max_tokens=12)
    expected = shelf.loaded()[0].model.complete(PROMPT, max_tokens=12)
    assert got.choices[0].text == expected.text
    assert got.usage is not None
    assert got.usage.completion_tokens == len(expected.tokens)


def test_a_gap_is_filled_piece_by_piece(client: openai.OpenAI, shelf: Shelf) -> None:
    stream = client.completions.create(
        model="infill-10m", prompt="import nu", suffix=" as np\n", max_tokens=12, stream=True
    )
    got = "".join(chunk.choices[0].text for chunk in stream)
    assert got == shelf.loaded()[0].model.infill("import nu", " as np\n", max_tokens=12).text


def test_a_bad_field_is_named(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model="infill-10m", prompt=PROMPT, temperature=-1)
    assert caught.value.param == "temperature"


def test_an_unknown_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.completions.create(model="gpt-9", prompt=PROMPT)
    assert caught.value.code == "model_not_found"
