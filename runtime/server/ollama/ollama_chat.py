"""`POST /api/chat`: the answer to a conversation, with thoughts and calls of functions."""

from __future__ import annotations

import time
from typing import Annotated, Any

from pydantic import Field

from halfbyte.server.ask import Ask
from halfbyte.server.exchange import Exchange
from halfbyte.server.newest_turns import fitting
from halfbyte.server.ollama.loading_asked import kept, without_answer
from halfbyte.server.ollama.ollama_answers import OllamaAnswer
from halfbyte.server.ollama.ollama_conversation import OllamaMessage, conversation
from halfbyte.server.ollama.ollama_options import Asked, ollama_errors
from halfbyte.server.protocol import Route
from halfbyte.server.reply import Json, Lines, Reply


class ChatFields(Asked):
    """The body."""

    messages: Annotated[list[OllamaMessage], Field(max_length=100_000)] | None = None
    tools: Annotated[list[dict[str, Any]], Field(max_length=1024)] | None = None


async def chat(exchange: Exchange, asked: ChatFields) -> Reply:
    """Answer a request."""
    if not asked.messages:
        return await without_answer(exchange, asked, is_chat=True)
    messages = conversation(asked.messages)
    begun_s = time.monotonic()
    model = await exchange.model(asked.model)
    kept(exchange, model, asked.keep_alive)
    load_s = time.monotonic() - begun_s
    options = {**asked.sampling(model.n_ctx), **asked.thinking(model)}
    if asked.tools:
        options["tools"] = asked.tools
    ask = Ask("chat", (messages,), options)
    shape = OllamaAnswer(
        exchange, asked.model or model.name, load_s, is_chat=True,
        has_logprobs=bool(asked.logprobs),
    )  # fmt: skip
    with ollama_errors():
        if asked.truncate:
            ask = await fitting(exchange, model, ask)
        if asked.is_streamed:
            return Lines(shape.lines(await exchange.stream(model, ask)))
        return Json(await shape.whole((await exchange.answer(model, ask))[0]))


OLLAMA_CHAT = (Route("POST", "/api/chat", chat, ChatFields),)
