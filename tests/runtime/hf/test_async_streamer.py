"""Streamers that another thread or a coroutine reads; pieces are transformers'."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from queue import Empty
from typing import Any

import numpy as np
import pytest

import halfbyte
from halfbyte.errors import RequestError
from halfbyte.hf.auto_model import CausalLM

PIECES = json.loads(
    (Path(__file__).parents[2] / "data" / "golden_arguments.json").read_text("utf-8")
)["streamed"]
IDS = np.array([[1, 300, 301]])


class Texts:
    """A tokenizer whose tokens are texts."""

    def decode(self, ids: list[int], **options: Any) -> str:
        assert options in ({}, {"skip_special_tokens": True})
        return "".join(PIECES["texts"][i] for i in ids)


@pytest.mark.parametrize("case", PIECES["cases"], ids=lambda case: case["skip_prompt"])
def test_pieces_are_those_of_transformers(case: dict[str, Any]) -> None:
    streamer = halfbyte.TextIteratorStreamer(Texts(), case["skip_prompt"], timeout=1)
    for ids in case["puts"]:
        streamer.put(np.array(ids))
    streamer.end()
    assert list(streamer) == case["pieces"]


def test_a_coroutine_reads_what_a_thread_makes(tiny: CausalLM) -> None:
    tokenizer = tiny.model.tokenizer

    class Decoder:
        def decode(self, ids: list[int]) -> str:
            return tokenizer.decode(ids)

    async def read() -> list[str]:
        streamer = halfbyte.AsyncTextIteratorStreamer(Decoder(), skip_prompt=True, timeout=60)
        how = {"inputs": IDS, "max_new_tokens": 9, "eos_token_id": None, "streamer": streamer}
        thread = threading.Thread(target=tiny.generate, kwargs=how)
        thread.start()
        pieces = [piece async for piece in streamer]
        await asyncio.to_thread(thread.join)
        return pieces

    out = tiny.generate(IDS, max_new_tokens=9, eos_token_id=None)[0, 3:].tolist()
    assert "".join(asyncio.run(read())) == tokenizer.decode(out)


def test_it_ends_when_generate_fails(tiny: CausalLM) -> None:
    streamer = halfbyte.TextIteratorStreamer(Texts(), skip_prompt=True, timeout=60)

    def fail() -> None:
        with pytest.raises(RequestError, match="streamer"):
            tiny.generate(IDS, num_beams=2, streamer=streamer)

    thread = threading.Thread(target=fail)
    thread.start()
    assert list(streamer) == [""]
    thread.join()


def test_waiting_has_an_end() -> None:
    with pytest.raises(Empty):
        next(halfbyte.TextIteratorStreamer(Texts(), timeout=0.01))

    async def wait() -> None:
        streamer = halfbyte.AsyncTextIteratorStreamer(Texts(), timeout=0.01)
        await anext(aiter(streamer))

    with pytest.raises(TimeoutError, match="seconds"):
        asyncio.run(wait())


@pytest.mark.parametrize("timeout", [-1, float("nan"), "1", True])
def test_a_timeout_of_another_kind(timeout: Any) -> None:
    with pytest.raises(RequestError, match="timeout"):
        halfbyte.TextIteratorStreamer(Texts(), timeout=timeout)


def test_a_loop_that_is_gone_waits_for_nothing() -> None:
    async def make() -> Any:
        return halfbyte.AsyncTextIteratorStreamer(Texts())

    streamer = asyncio.run(make())
    streamer.put(np.array([0]))
    streamer.end()
