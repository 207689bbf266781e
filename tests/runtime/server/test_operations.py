"""How a server says that it is."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import httpx
import pytest

import halfbyte
from halfbyte.errors import ModelFileError
from halfbyte.server.shelf import Shelf


def test_it_is_well(http: httpx.Client) -> None:
    answer = http.get("/health")
    assert (answer.status_code, answer.content) == (200, b'{"status":"ok"}')
    assert http.head("/health").status_code == 200 and http.head("/health").content == b""


def test_it_says_that_a_model_is_on_its_way(serve: Any) -> None:
    goes_on, asked = threading.Event(), threading.Event()

    def load(source: str) -> halfbyte.Model:
        asked.set()
        goes_on.wait(30)
        raise ModelFileError("/secret/m.gguf", expected="a file", got="none")

    body, answers = {"prompt": "x"}, []
    with serve(Shelf({"m": "m"}, load)) as url, httpx.Client(trust_env=False) as client:

        def ask() -> None:
            answers.append(client.post(f"{url}/v1/completions", json=body, timeout=30))

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            assert asked.wait(30)
            answer = client.get(f"{url}/health")
            assert (answer.status_code, answer.json()["status"]) == (503, "loading model")
        finally:
            goes_on.set()
            asking.join()
    assert answers[0].status_code == 503
    assert "secret" not in answers[0].text


def test_models_of_one_source_are_one_and_go_when_idle() -> None:
    async def work() -> None:
        loaded: list[str] = []

        def load(source: str) -> halfbyte.Model:
            loaded.append(source)
            return halfbyte.load("infill-10m", threads=1)

        shelf = Shelf({"a": "x", "b": "x", "c": "y"}, load, idle_s=0)
        one, other = await asyncio.gather(shelf.get("a"), shelf.get("b:latest"))
        assert one.model is other.model and loaded == ["x"] and not shelf.is_loading
        shelf.hold(one)
        await shelf.unload_idle()
        assert [served.name for served in shelf.loaded()] == ["a", "b"]
        shelf.release(one)
        shelf.keep(other, None)
        await shelf.unload_idle()
        assert shelf.models()
        shelf.keep(one, 0)
        await shelf.unload_idle()
        assert not shelf.loaded() and not shelf.models()
        assert (await shelf.get("")).name == "a" and loaded == ["x", "x"]
        await shelf.close()

    asyncio.run(work())
    with pytest.raises(IndexError):
        Shelf({}, halfbyte.load).names[0]
