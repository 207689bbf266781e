"""`POST .../input_tokens`: how many tokens the prompt of a response or of a chat has.

Source: https://platform.openai.com/docs/api-reference/responses/input-tokens, and llama.cpp for
chats. Nothing is computed but the prompt's tokens.
"""

from __future__ import annotations

from functools import partial

from halfbyte.server.ask import Ask
from halfbyte.server.dropped import without
from halfbyte.server.exchange import Exchange
from halfbyte.server.openai.chat_asking import chat_ask, chat_errors, chat_name
from halfbyte.server.openai.chat_fields import ChatFields
from halfbyte.server.openai.response_asking import fitting_ask, response_name
from halfbyte.server.openai.response_fields import ResponseFields
from halfbyte.server.prompts import chat_prompt_of
from halfbyte.server.protocol import Route
from halfbyte.server.reply import Json, Reply
from halfbyte.server.served_model import ServedModel


async def count_chat(exchange: Exchange, asked: ChatFields) -> Reply:
    """A chat's."""
    model = await exchange.model(asked.model)
    with chat_errors(model, partial(chat_name, asked)):
        return await _counted(exchange, model, chat_ask(model, asked))


async def count_response(exchange: Exchange, asked: ResponseFields) -> Reply:
    """A response's."""
    model = await exchange.model(asked.model)
    with chat_errors(model, partial(response_name, asked)):
        return await _counted(exchange, model, await fitting_ask(exchange, model, asked))


async def _counted(exchange: Exchange, model: ServedModel, ask: Ask) -> Reply:
    ask = without(ask, exchange.settings.dropped)
    prompt = await exchange.prepared(chat_prompt_of, model.model, *ask.arguments, ask.options)
    return Json({"object": "response.input_tokens", "input_tokens": len(prompt.tokens)})


COUNTS = (
    Route("POST", "/v1/chat/completions/input_tokens", count_chat, ChatFields),
    Route("POST", "/v1/responses/input_tokens", count_response, ResponseFields),
)
