"""`POST /v1/messages`, and `/v1/messages/count_tokens`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from halfbyte.model import Model
from halfbyte.server.anthropic.anthropic_answers import message
from halfbyte.server.anthropic.anthropic_asking import anthropic_errors, message_ask, prompt_of
from halfbyte.server.anthropic.anthropic_fields import MessageFields, PromptFields
from halfbyte.server.anthropic.message_events import MessageEvents, message_events
from halfbyte.server.dropped import messages_without
from halfbyte.server.exchange import Exchange
from halfbyte.server.prompts import chat_prompt_of
from halfbyte.server.protocol import Route
from halfbyte.server.reply import Json, Reply


async def create(exchange: Exchange, asked: MessageFields) -> Reply:
    """Answer a conversation."""
    model = await exchange.model(asked.model)
    with anthropic_errors(asked):
        ask = await message_ask(exchange, model, asked)
        if asked.stream:
            answer = await exchange.stream(model, ask)
            return MessageEvents(message_events(exchange, model, answer))
        done = await exchange.answer(model, ask)
    return Json(message(exchange, model, done[0]))


async def count_tokens(exchange: Exchange, asked: PromptFields) -> Reply:
    """How many tokens a conversation's prompt has."""
    model = await exchange.model(asked.model)
    messages, options = prompt_of(model, asked)
    messages = messages_without(messages, exchange.settings.dropped)
    with anthropic_errors(asked):
        n_tokens = await exchange.prepared(_n_tokens, model.model, messages, options)
    return Json({"input_tokens": n_tokens})


def _n_tokens(model: Model, messages: list[dict[str, Any]], options: Mapping[str, Any]) -> int:
    """A prompt's, and an answer's beginning's where the last message is one."""
    *before, last = messages
    is_begun = last["role"] == "assistant" and before and not last.keys() - {"role", "content"}
    prompt = chat_prompt_of(model, before if is_begun else messages, options)
    begun = model.tokenizer.encode_fragment(last["content"]) if is_begun else ()
    return len(prompt.tokens) + len(begun)


MESSAGES = (
    Route("POST", "/v1/messages", create, MessageFields),
    Route("POST", "/v1/messages/count_tokens", count_tokens, PromptFields),
)
