"""Calls of a model, answered as `/completion` and `/infill` do: at once, or piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from halfbyte.lazy_dataclass import dataclass
from halfbyte.server.ask import Ask
from halfbyte.server.exchange import Answer, Exchange
from halfbyte.server.fault import fault_of
from halfbyte.server.llama_cpp.llama_shapes import llama_error
from halfbyte.server.llama_cpp.result_shapes import Shell
from halfbyte.server.reply import Events, Json, Reply, event
from halfbyte.server.served_model import ServedModel

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a model, for one prompt, and what its answers have in common."""

    ask: Ask
    shell: Shell


async def reply_to(exchange: Exchange, model: ServedModel, calls: Sequence[Call]) -> Reply:
    """The answers to all calls: an object where there is one, else a list; or their stream."""
    n = calls[0].ask.n or 1
    calls = [replace(call, shell=replace(call.shell, first=i * n)) for i, call in enumerate(calls)]
    if calls[0].shell.asked.stream:
        first = await exchange.stream(model, calls[0].ask)
        return Events(_all_events(exchange, model, calls, first))
    asks = [exchange.answer(model, call.ask) for call in calls]
    done = await _together(asks)
    results = [
        call.shell.final(i, one)
        for call, answers in zip(calls, done, strict=True)
        for i, one in enumerate(answers)
    ]
    return Json(results[0] if len(results) == 1 else results)


async def _together(asks: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """What all give; where one fails, the others are given up."""
    tasks = [asyncio.ensure_future(ask) for ask in asks]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _all_events(
    exchange: Exchange, model: ServedModel, calls: Sequence[Call], first: Answer
) -> AsyncIterator[bytes]:
    """The events of one call after the other; an error is the last of them."""
    try:
        answer: Answer | None = first
        for call in calls:
            answer = answer or await exchange.stream(model, call.ask)
            async for chunk in _events(answer, call.shell):
                yield chunk
            answer = None
    except Exception as error:
        yield event(llama_error(fault_of(error)))


async def _events(answer: Answer, shell: Shell) -> AsyncIterator[bytes]:
    told: dict[int, int] = {}  # tokens of each answer that were sent
    async for batch in answer:
        chunk = []
        for i, part in batch:
            begin, told[i] = told.get(i, 0), answer.n_tokens(i)
            chunk.append(shell.piece(i, part.text, begin, told[i], answer))
        yield b"".join(chunk)
    ends = [event(shell.final(i, done, "")) for i, done in enumerate(answer.completions)]
    yield b"".join(ends)
