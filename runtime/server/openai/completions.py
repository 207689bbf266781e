"""`POST /v1/completions`: a text goes on; with a suffix, a gap is filled.

Source: https://platform.openai.com/docs/api-reference/completions. What is not given is as
halfbyte's `complete` and `infill` have it: the most likely token each time, where one answer is
asked for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, ClassVar

from pydantic import Field

from halfbyte.server.ask import Ask
from halfbyte.server.exchange import Answer, Exchange
from halfbyte.server.fault import fault_of
from halfbyte.server.fields import (
    Count,
    Fields,
    Penalty,
    Positive,
    Probability,
    Seed,
    Temperature,
    TokenId,
)
from halfbyte.server.openai.shapes import answer_id, finish_reason, ids_or_text, stream_error, usage
from halfbyte.server.protocol import Route
from halfbyte.server.reply import DONE, Events, Json, Reply, event


class StreamOptions(Fields):
    """What a stream tells besides."""

    include_usage: bool = False


class CompletionFields(Fields):
    """The body."""

    unused: ClassVar[frozenset[str]] = frozenset({"user"})
    model: str | None = None
    prompt: str | list[TokenId] | list[str] | list[list[TokenId]] = "<|endoftext|>"
    suffix: str | None = None
    max_tokens: Count | None = 16
    temperature: Temperature | None = None
    top_p: Probability | None = None
    n: Positive | None = None
    best_of: Positive | None = None
    stop: str | list[str] | None = None
    seed: Seed | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    logprobs: int | None = Field(None, ge=0, le=20)
    echo: bool | None = None


_SAME_NAME = ("temperature", "top_p", "stop", "seed", "presence_penalty", "frequency_penalty")


async def complete(exchange: Exchange, asked: CompletionFields) -> Reply:
    """Answer a request."""
    model = await exchange.model(asked.model)
    ask = _ask(asked)
    shell = {
        "id": answer_id("cmpl", exchange), "object": "text_completion",
        "created": exchange.created, "model": model.name,
        "system_fingerprint": model.fingerprint,
    }  # fmt: skip
    if asked.stream:
        answer = await exchange.stream(model, ask)
        return Events(_chunks(answer, shell, asked))
    done = await exchange.answer(model, ask)
    choices = [_choice(i, one.text, finish_reason(one)) for i, one in enumerate(done)]
    return Json({**shell, "choices": choices, "usage": usage(done)})


def _ask(asked: CompletionFields) -> Ask:
    options: dict[str, Any] = {"max_tokens": 16 if asked.max_tokens is None else asked.max_tokens}
    options |= {n: v for n in _SAME_NAME if (v := getattr(asked, n)) is not None}
    n = asked.n or 1
    if n > 1:
        options.setdefault("temperature", 1.0)
    if asked.suffix is not None:
        return Ask("infill", (asked.prompt, asked.suffix), options, n)
    return Ask("complete", (ids_or_text(asked.prompt),), options, n)


async def _chunks(
    answer: Answer, shell: dict[str, Any], asked: CompletionFields
) -> AsyncIterator[bytes]:
    try:
        async for batch in answer:
            yield b"".join(
                event({**shell, "choices": [_choice(i, part.text, None)]}) for i, part in batch
            )
        done = answer.completions
        ends = [_choice(i, "", finish_reason(one)) for i, one in enumerate(done)]
        last = [event({**shell, "choices": [end]}) for end in ends]
        if asked.stream_options and asked.stream_options.include_usage:
            last.append(event({**shell, "choices": [], "usage": usage(done)}))
        yield b"".join([*last, DONE])
    except Exception as error:
        yield stream_error(fault_of(error))


def _choice(i: int, text: str, reason: str | None) -> dict[str, Any]:
    return {"index": i, "text": text, "logprobs": None, "finish_reason": reason}


COMPLETIONS = (Route("POST", "/v1/completions", complete, CompletionFields),)
