"""Loading and unloading without an answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import halfbyte
from halfbyte.server.fault import Fault
from halfbyte.server.ollama.loading_asked import without_answer
from halfbyte.server.ollama.ollama_options import Asked
from halfbyte.server.reply import Json
from halfbyte.server.shelf import Shelf


class Asking:
    """As much of an Exchange as it takes."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf

    async def model(self, name: str | None) -> Any:
        return await self.shelf.get(name or "")


def test_what_is_not_loaded_is_not_loaded_to_be_unloaded() -> None:
    def load(source: str) -> halfbyte.Model:
        raise AssertionError(source)

    exchange: Any = Asking(Shelf({"a": "x"}, load))

    def ask(**fields: Any) -> bytes:
        reply = asyncio.run(without_answer(exchange, Asked(**fields), is_chat=False))
        assert isinstance(reply, Json)
        return reply.body

    for name in ("a", "a:latest", None):
        assert b'"done_reason":"unload"' in ask(model=name, keep_alive=0)
    with pytest.raises(Fault, match="expected one of a"):
        ask(model="b", keep_alive="0s")
    with pytest.raises(AssertionError):
        ask(model="a", keep_alive=1)
