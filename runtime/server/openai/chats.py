"""`POST /v1/chat/completions`: the answer to a conversation.

Source: https://platform.openai.com/docs/api-reference/chat. What is not given is as halfbyte's
`chat` has it, and an answer ends where the model ends it, or the context.
"""

from __future__ import annotations

from functools import partial

from halfbyte.server.exchange import Exchange
from halfbyte.server.openai.chat_asking import chat_ask, chat_errors, chat_name
from halfbyte.server.openai.chat_chunks import ChatChunks
from halfbyte.server.openai.chat_fields import ChatFields
from halfbyte.server.openai.chat_shapes import chat_choice, chat_usage
from halfbyte.server.openai.shapes import answer_shell
from halfbyte.server.protocol import Route
from halfbyte.server.reply import Events, Json, Reply
from halfbyte.server.timings import timings


async def chat(exchange: Exchange, asked: ChatFields) -> Reply:
    """Answer a request."""
    model = await exchange.model(asked.model)
    kind = "chat.completion.chunk" if asked.stream else "chat.completion"
    shell = answer_shell(exchange, model, "chatcmpl", kind)
    with chat_errors(model, partial(chat_name, asked)):
        ask = chat_ask(model, asked)
        if asked.stream:
            answer = await exchange.stream(model, ask)
            return Events(ChatChunks(model, shell, asked).events(answer))
        done = await exchange.answer(model, ask)
        for one in done:
            one.check_calls()
    has_logprobs = bool(asked.logprobs)
    choices = [chat_choice(i, one, has_logprobs=has_logprobs) for i, one in enumerate(done)]
    usage = chat_usage(model, done, is_predicted=asked.prediction is not None)
    return Json(
        {
            **shell,
            "choices": choices,
            "usage": usage,
            "timings": timings(done[0].stats, len(done[0].tokens)),
        }
    )


CHATS = (Route("POST", "/v1/chat/completions", chat, ChatFields),)
