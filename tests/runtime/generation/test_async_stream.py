"""asyncio: the same answers, tasks that are cancelled, and a loop that is never blocked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import halfbyte
from halfbyte.errors import EngineError, RequestError, RequestTimeoutError
from halfbyte.generation.async_call import AsyncCall
from halfbyte.generation.async_stream import AsyncCompletionStream
from halfbyte.generation.request import LogitsRequest
from halfbyte.generation.terms import Terms
from halfbyte.methods.async_model import AsyncModel

LONG = [3] * 700


@pytest.fixture(scope="module")
def model(tiny_gguf: Path) -> Iterator[halfbyte.Model]:
    with halfbyte.load(tiny_gguf, threads=2, ctx=20000) as loaded:
        assert isinstance(loaded, AsyncModel)
        yield loaded


def run(work: Callable[[], Awaitable[Any]]) -> Any:
    return asyncio.run(asyncio.wait_for(work(), 120))


def settle(model: halfbyte.Model) -> None:
    """Until the engine does nothing any more."""
    deadline = time.monotonic() + 60
    while not model.scheduler.between_steps(lambda: model.scheduler._worker.batch.is_idle):
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_answers_are_those_of_the_twins(model: halfbyte.Model) -> None:
    how: Any = {"max_tokens": 9, "temperature": 1.0, "seed": 5}
    expected = model.complete("ab", **how)

    async def work() -> None:
        assert (await model.acomplete("ab", **how)).tokens == expected.tokens
        many = await model.acomplete(["ab", "cd"], **how)
        assert [c.tokens for c in many] == [c.tokens for c in model.complete(["ab", "cd"], **how)]
        stream = model.astream("ab", **how)
        pieces = [piece async for piece in stream]
        assert "".join(pieces) == expected.text
        assert stream.completion is not None and stream.completion.tokens == expected.tokens
        assert (await stream.result()) is stream.completion
        together = await asyncio.gather(*[model.acomplete("ab", **how) for _ in range(5)])
        assert [done.tokens for done in together] == [expected.tokens] * 5

    run(work)


def test_a_cancelled_task_gives_its_answer_up(model: halfbyte.Model) -> None:
    async def work() -> None:
        calls = [
            lambda: model.acomplete(LONG * 20, max_tokens=5000),
            lambda: model.astream(LONG * 20, max_tokens=5000).result(),
        ]
        for call in calls:
            task = asyncio.ensure_future(call())
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    run(work)
    settle(model)


def test_a_stream_that_is_left_closed_or_interrupted_ends(model: halfbyte.Model) -> None:
    async def work() -> None:
        stream = model.astream("ab", max_tokens=5000, stop_tokens=[])
        async for _ in stream:
            break
        await asyncio.sleep(0)
        assert [piece async for piece in stream] == [] and stream.completion is None
        with pytest.raises(EngineError, match="closed"):
            await stream.result()
        stream = model.astream("ab", max_tokens=5000)
        assert isinstance(stream, AsyncCompletionStream)
        await stream.__anext__()
        assert isinstance(stream._call, AsyncCall)
        await stream.aclose()
        assert [piece async for piece in stream] == []
        stream = model.astream(LONG * 20, max_tokens=5000)
        task = asyncio.ensure_future(stream.__anext__())
        await asyncio.sleep(0)
        with pytest.raises(EngineError, match="taken"):
            await stream.__anext__()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(EngineError, match="interrupted"):
            await stream.__anext__()

    run(work)
    settle(model)


def test_errors_and_timeouts(model: halfbyte.Model) -> None:
    async def work() -> None:
        with pytest.raises(RequestError, match="top_k"):
            await model.acomplete("ab", top_k=-1)
        with pytest.raises(RequestError, match="a list"):
            await model.astream(["ab"]).result()  # type: ignore[arg-type]
        with pytest.raises(RequestTimeoutError) as caught:
            await model.acomplete(LONG * 20, max_tokens=5000, timeout=0.05)
        assert caught.value.completion.finish_reason == "timeout"

        def fail(stage: str, done: int, total: int) -> None:
            raise LookupError(stage)

        with pytest.raises(LookupError, match="prefill"):
            await model.acomplete("ab", progress=fail)
        assert (await model.acomplete("ab", max_tokens=2)).tokens

    run(work)
    settle(model)


def test_the_loop_goes_on_while_a_prompt_is_encoded_and_computed(model: halfbyte.Model) -> None:
    async def work() -> int:
        task, turns = asyncio.ensure_future(model.acomplete("ab " * 4000, max_tokens=3)), 0
        while not task.done():
            await asyncio.sleep(0)
            turns += 1
        await task
        return turns

    assert run(work) > 100


def test_a_loop_that_was_closed_keeps_nobody(model: halfbyte.Model) -> None:
    loop = asyncio.new_event_loop()
    stream = model.astream("ab", max_tokens=5000, stop_tokens=[])
    loop.run_until_complete(stream.__anext__())
    loop.close()
    settle(model)
    assert model.complete("ab", max_tokens=2).tokens


def test_a_timeout_holds_though_something_always_comes(model: halfbyte.Model) -> None:
    async def work() -> None:
        request, terms = LogitsRequest([3] * 9, np.empty((9, 1), np.float32)), Terms(timeout=0.01)
        call = AsyncCall(model.scheduler, [request], terms)  # which nobody works on
        await asyncio.sleep(0.02)
        call._post(None)
        await call.await_news()
        assert request.is_cancelled

    run(work)


def test_a_step_wakes_the_loop_once_for_all_streams(model: halfbyte.Model) -> None:
    """Waking costs more than what is handed out; who comes late is woken again."""

    async def work() -> None:
        loop, n_wakes, woken = asyncio.get_running_loop(), 0, []
        calls = [AsyncCall(model.scheduler, [request], Terms()) for request in requests()]
        wake = loop.call_soon_threadsafe

        def counted(*args: Any, **how: Any) -> Any:
            nonlocal n_wakes
            n_wakes += 1
            return wake(*args, **how)

        async def wait(i: int) -> None:
            await calls[i].await_news()
            woken.append(i)

        loop.call_soon_threadsafe = counted  # type: ignore[method-assign]
        tasks = [asyncio.ensure_future(wait(i)) for i in range(len(calls))]
        await asyncio.sleep(0)
        calls[0].ring()  # which has nothing to tell
        for call in calls[:3]:
            call._post(None)
        assert n_wakes == 0
        for call in calls[:3]:
            call.ring()
        await asyncio.wait(tasks[:3])
        assert n_wakes == 1 and sorted(woken) == [0, 1, 2]
        calls[3]._post(None)
        calls[3].ring()
        await asyncio.wait_for(tasks[3], 60)
        assert n_wakes == 2

    run(work)


def requests() -> list[LogitsRequest]:
    return [LogitsRequest([3] * 9, np.empty((9, 1), np.float32)) for _ in range(4)]
