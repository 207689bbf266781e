"""Requests that load or unload a model, and how long one stays."""

from __future__ import annotations

from halfbyte.server.exchange import Exchange
from halfbyte.server.ollama.keep_alive import idle_seconds
from halfbyte.server.ollama.ollama_answers import OllamaAnswer
from halfbyte.server.ollama.ollama_options import Asked
from halfbyte.server.reply import Json, Reply
from halfbyte.server.served_model import ServedModel


def kept(exchange: Exchange, model: ServedModel, keep_alive: float | str | None) -> None:
    """Have a model stay as long as a request says.

    Raises:
        Fault: that is no duration.
    """
    if keep_alive is not None:
        exchange.shelf.keep(model, idle_seconds(keep_alive))


async def without_answer(exchange: Exchange, asked: Asked, *, is_chat: bool) -> Reply:
    """Load a model, or unload it where it is to be kept for no time."""
    is_going = asked.keep_alive is not None and idle_seconds(asked.keep_alive) == 0
    if is_going:
        name = (asked.model or exchange.shelf.names[0]).removesuffix(":latest")
        if name not in exchange.shelf.names:
            await exchange.model(name)  # which says so
        for model in exchange.shelf.loaded():
            if model.name == name:
                exchange.shelf.keep(model, 0)
    else:
        model = await exchange.model(asked.model)
        kept(exchange, model, asked.keep_alive)
        name = model.name
    shape = OllamaAnswer(exchange, asked.model or name, 0.0, is_chat=is_chat)
    return Json(shape.empty("unload" if is_going else "load"))
