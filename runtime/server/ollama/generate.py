"""`POST /api/generate`: a prompt is answered, goes on, or has its gap filled.

What is asked decides the method: with `suffix` it is `infill`; `raw`, and a model without a chat
template, is `complete`; else the prompt is a user's message for `chat`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from pydantic import Field

from halfbyte.generation.completion import Completion
from halfbyte.prompt.messages import NO_IMAGES
from halfbyte.server.ask import Ask
from halfbyte.server.dropped import messages_without, text_without
from halfbyte.server.exchange import Exchange
from halfbyte.server.fault import Fault, refused
from halfbyte.server.fields import TokenId
from halfbyte.server.ollama.loading_asked import kept, without_answer
from halfbyte.server.ollama.ollama_answers import OllamaAnswer
from halfbyte.server.ollama.ollama_options import Asked, ollama_errors
from halfbyte.server.prompts import as_chat, chat_prompt_of, check_length, rendered
from halfbyte.server.protocol import Route
from halfbyte.server.reply import Json, Lines, Reply
from halfbyte.server.served_model import ServedModel

Ids = Callable[[], list[int]]
_ONLY_PROMPT = re.compile(r"\s*\{\{-?\s*\.Prompt\s*-?\}\}\s*")
_MIDDLE_SHARE = 4  # of the context that a middle without a limit may take


class GenerateFields(Asked):
    """The body."""

    unused: ClassVar[frozenset[str]] = Asked.unused | {"width", "height", "steps"}
    prompt: str | None = None
    suffix: str | None = None
    system: str | None = None
    template: str | None = None
    context: list[TokenId] | None = Field(default=None, max_length=1 << 20)
    raw: bool | None = None
    images: list[Any] | None = None


async def generate(exchange: Exchange, asked: GenerateFields) -> Reply:
    """Answer a request."""
    check_no_images(asked.images, "images")
    if not asked.prompt and not asked.suffix:
        return await without_answer(exchange, asked, is_chat=False)
    begun_s = time.monotonic()
    model = await exchange.model(asked.model)
    kept(exchange, model, asked.keep_alive)
    load_s = time.monotonic() - begun_s
    with ollama_errors():
        ask, ids = await _ask(exchange, model, asked)
    if asked.truncate and ask.method == "complete":
        ask = replace(ask, options={**ask.options, "truncate": "left"})

    async def finish(done: Completion) -> dict[str, Any]:
        if ids is None:
            return {}
        return {"context": [*await exchange.prepared(ids), *done.tokens]}

    shape = OllamaAnswer(
        exchange, asked.model or model.name, load_s, is_chat=False, finish=finish,
        has_logprobs=bool(asked.logprobs),
    )  # fmt: skip
    with ollama_errors(messages="prompt"):
        if asked.is_streamed:
            return Lines(shape.lines(await exchange.stream(model, ask)))
        done = await exchange.answer(model, ask)
        return Json(await shape.whole(done[0]))


async def _ask(
    exchange: Exchange, model: ServedModel, asked: GenerateFields
) -> tuple[Ask, Ids | None]:
    """The call, and what gives the prompt's ids where the answer tells a context."""
    n_ctx, prompt = model.n_ctx, asked.prompt or ""
    if asked.suffix:
        options = asked.sampling(n_ctx // _MIDDLE_SHARE)
        return Ask("infill", (prompt, asked.suffix), options), None
    options = asked.sampling(n_ctx)
    template = asked.template or ""
    is_plain = bool(asked.raw) or _ONLY_PROMPT.fullmatch(template) is not None
    if is_plain or (not model.can_chat and not template):
        return await _plain(exchange, model, asked, options)
    messages = [{"role": "system", "content": asked.system}] if asked.system else []
    messages.append({"role": "user", "content": prompt})
    messages = messages_without(messages, exchange.settings.dropped)  # a context has ids alone
    thinking = asked.thinking(model)
    if template:
        if not exchange.settings.allows_templates:
            message = (
                "template: the server runs none of a request, unless it has --allow-templates; "
                '"raw": true takes the prompt as it is'
            )
            raise Fault("permission", message, param="template")
        text = await exchange.prepared(rendered, model.model, messages, template)
        return Ask("complete", (text,), {**options, "parse_markers": True}), None
    encode = partial(chat_prompt_of, model.model, messages, thinking)
    if not asked.context:
        return Ask("chat", (messages,), {**options, **thinking}), lambda: encode().tokens
    encoded = await exchange.prepared(encode)
    ids = joined(asked.context, encoded.tokens, model)
    return Ask("complete", (ids,), as_chat(model.model, encoded, options)), lambda: ids


async def _plain(
    exchange: Exchange, model: ServedModel, asked: GenerateFields, options: dict[str, Any]
) -> tuple[Ask, Ids | None]:
    """A text that goes on, its markers read as the model's own."""
    if asked.system:
        why = "with raw" if asked.raw else "for a model without a chat template"
        raise Fault("invalid_request", f"system: expected nothing {why}", param="system")
    options["parse_markers"] = True
    if asked.raw:
        if asked.context:
            raise Fault("invalid_request", "context: expected nothing with raw", param="context")
        return Ask("complete", (asked.prompt,), options), None
    prompt = text_without(asked.prompt or "", exchange.settings.dropped)
    encode = partial(model.model.tokenizer.encode, prompt, parse_markers=True)
    if not asked.context:
        return Ask("complete", (prompt,), options), encode
    del options["parse_markers"]
    if not asked.truncate:
        check_length(model.model, prompt)
    ids = joined(asked.context, await exchange.prepared(encode), model)
    return Ask("complete", (ids,), options), lambda: ids


def joined(context: list[int], ids: list[int], model: ServedModel) -> list[int]:
    """What was said before, and a prompt, whose BOS is left out.

    Raises:
        Fault: the context is no ids of this model.
    """
    tokenizer = model.model.tokenizer
    if max(context) >= tokenizer.n_vocab:
        message = f"context: expected ids below {tokenizer.n_vocab}, got {max(context)}"
        raise Fault("invalid_request", message, param="context")
    has_bos = bool(ids) and ids[0] == tokenizer.bos_id
    return [*context, *ids[has_bos:]]


def check_no_images(images: list[Any] | None, where: str) -> None:
    """Refuse images."""
    if images:
        raise refused(where, NO_IMAGES, f"{len(images)} of them")


GENERATE = (Route("POST", "/api/generate", generate, GenerateFields),)
