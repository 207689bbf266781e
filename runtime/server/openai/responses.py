"""`POST /v1/responses`: the answer to a conversation, as items.

Source: https://platform.openai.com/docs/api-reference/responses. Nothing is kept between requests:
each has to bring its conversation.
"""

from __future__ import annotations

from functools import partial

from halfbyte.server.exchange import Exchange
from halfbyte.server.openai.chat_asking import chat_errors
from halfbyte.server.openai.response_asking import fitting_ask, response_name
from halfbyte.server.openai.response_events import ResponseEvents
from halfbyte.server.openai.response_fields import ResponseFields
from halfbyte.server.openai.response_shapes import response_shell
from halfbyte.server.protocol import Route
from halfbyte.server.reply import Events, Json, Reply


async def respond(exchange: Exchange, asked: ResponseFields) -> Reply:
    """Answer a request."""
    model = await exchange.model(asked.model)
    shell = response_shell(model, asked, exchange.request_id, exchange.created)
    with chat_errors(model, partial(response_name, asked)):
        ask = await fitting_ask(exchange, model, asked)
        answer = await exchange.stream(model, ask)
        made = ResponseEvents(model, shell, asked, exchange.request_id)
        if asked.stream:
            return Events(made.events(answer))
        return Json(await made.whole(answer))


RESPONSES = (Route("POST", "/v1/responses", respond, ResponseFields),)
