"""What Ollama does with its store of models is refused, with what to do instead."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import ollama
import pytest

ASKED: dict[str, Callable[[ollama.Client], object]] = {
    "halfbyte pull": lambda client: client.pull("x"),
    "not published": lambda client: client.push("x"),
    "halfbyte convert": lambda client: client.create("x", from_="y"),
    "-m OTHER_NAME=MODEL": lambda client: client.copy("x", "y"),
    "halfbyte rm": lambda client: client.delete("x"),
}


@pytest.mark.parametrize("instead", ASKED)
def test_the_answer_says_what_to_do(client: ollama.Client, instead: str) -> None:
    reply = None
    try:
        ASKED[instead](client)
    except ollama.ResponseError as error:
        reply = error
    assert reply is not None and reply.status_code == 501 and instead in reply.error


def test_files_are_not_taken(http_ollama: httpx.Client) -> None:
    path = "/api/blobs/sha256:00"
    assert http_ollama.head(path).status_code == 501
    reply = http_ollama.post(path, content=b"\xff\x00")
    assert reply.status_code == 501 and "not taken" in reply.json()["error"]


@pytest.mark.parametrize("name", ["infill-10m", "infill-10m:latest"])
def test_a_model_that_is_served_is_there(client: ollama.Client, name: str) -> None:
    assert client.pull(name).status == "success"
    assert [one.status for one in client.pull(name, stream=True)][-1] == "success"
