"""A model on its way comes once, whoever asks for it and goes again."""

from __future__ import annotations

import asyncio
import threading

import halfbyte
from halfbyte.server.shelf import Shelf


def test_who_goes_while_a_model_comes_does_not_have_it_loaded_anew() -> None:
    """An editor gives up a request with every key that is pressed."""
    goes_on, loaded = threading.Event(), []

    def load(source: str) -> halfbyte.Model:
        loaded.append(source)
        assert goes_on.wait(30)
        return halfbyte.load("infill-10m", threads=1)

    async def work() -> None:
        shelf = Shelf({"a": "x"}, load)
        for _ in range(3):
            asking = asyncio.ensure_future(shelf.get("a"))
            await asyncio.sleep(0.01)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            assert shelf.is_loading
        goes_on.set()
        served = await shelf.get("a")
        assert loaded == ["x"] and shelf.models() == {"a": served.model}
        assert not shelf.is_loading
        await shelf.close()

    asyncio.run(work())
