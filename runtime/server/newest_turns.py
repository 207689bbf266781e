"""Conversations that do not fit, where a client asks for what of them does: the newest turns.

A turn begins with a user's message. What the system says stays, and so does the last turn.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from halfbyte.errors import ContextLengthError
from halfbyte.model import Model
from halfbyte.prompt.prompt_cut import PromptCut
from halfbyte.server.ask import Ask
from halfbyte.server.exchange import Exchange
from halfbyte.server.prompts import chat_prompt_of
from halfbyte.server.served_model import ServedModel

log = logging.getLogger(__name__)

Messages = Sequence[Mapping[str, Any]]


async def fitting(exchange: Exchange, model: ServedModel, ask: Ask) -> Ask:
    """A chat, without its oldest turns where all do not fit."""
    messages, options = ask.arguments[0], ask.options
    return replace(
        ask, arguments=(await exchange.prepared(newest_turns, model.model, messages, options),)
    )


def newest_turns(model: Model, messages: Messages, options: Mapping[str, Any]) -> Messages:
    """The messages that fit the context beside an answer, which a warning counts if it is not all.

    Args:
        model: who is to answer.
        messages: of a chat.
        options: keywords of `Model.chat`, `max_tokens` among them.

    Raises:
        HalfbyteError: as `Model.chat`, but that the last turn alone may be too long.
    """
    begins = [i for i, message in enumerate(messages) if message["role"] == "user"]
    n_all = _n_tokens(model, messages, options)
    n_most = PromptCut("left", options["max_tokens"]).n_kept(n_all, model.n_ctx)
    if n_all <= n_most or not begins:
        return messages

    def fits(begin: int) -> bool:
        return _n_tokens(model, _since(messages, begin), options) <= n_most

    left = _since(messages, begins[bisect_left(begins[:-1], True, key=fits)])
    log.warning(
        "the model is not shown %d of %d messages, the oldest, as the request asks",
        len(messages) - len(left), len(messages),
    )  # fmt: skip
    return left


def _since(messages: Messages, begin: int) -> Messages:
    return [one for i, one in enumerate(messages) if i >= begin or one["role"] == "system"]


def _n_tokens(model: Model, messages: Messages, options: Mapping[str, Any]) -> int:
    try:
        return len(chat_prompt_of(model, messages, options).tokens)
    except ContextLengthError as error:  # it was not encoded
        return error.n_tokens
