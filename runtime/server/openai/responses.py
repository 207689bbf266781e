"""`POST /v1/responses`: the answer to a conversation, as items.

Source: https://platform.openai.com/docs/api-reference/responses. Nothing is kept between requests:
each has to bring its conversation.
"""

from __future__ import annotations

from functools import partial

from halfbyte.server.exchange import Exchange
from halfbyte.server.openai.chat_asking import chat_errors
from halfbyte.server.openai.response_asking import response_ask, response_name
from halfbyte.server.openai.response_events import ResponseEvents
from halfbyte.server.openai.response_fields import ResponseFields
from halfbyte.server.openai.response_shapes import ended, output_of, response_shell
from halfbyte.server.protocol import Route
from halfbyte.server.reply import Events, Json, Reply


async def respond(exchange: Exchange, asked: ResponseFields) -> Reply:
    """Answer a request."""
    model = await exchange.model(asked.model)
    shell = response_shell(model, asked, exchange.request_id, exchange.created)
    with chat_errors(model, partial(response_name, asked)):
        ask = response_ask(model, asked)
        if asked.stream:
            answer = await exchange.stream(model, ask)
            return Events(ResponseEvents(model, shell, asked, exchange.request_id).events(answer))
        done = (await exchange.answer(model, ask))[0]
    return Json(ended(shell, model, done, output_of(exchange.request_id, asked, done)))


RESPONSES = (Route("POST", "/v1/responses", respond, ResponseFields),)
