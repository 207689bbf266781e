"""`/tokenize`, `/detokenize` and `/apply-template`: what a model makes of texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from halfbyte.server.exchange import Exchange
from halfbyte.server.fault import Fault
from halfbyte.server.fields import Fields, TokenId
from halfbyte.server.llama_cpp.llama_shapes import model_of
from halfbyte.server.llama_cpp.token_texts import (
    checked_ids,
    ids_of,
    piece_of,
    prompt_text,
    text_of,
)
from halfbyte.server.protocol import Route
from halfbyte.server.reply import Json, Plain, Reply, dumps

_PART = 10_000


class TokenizeFields(Fields):
    """The body of `/tokenize`."""

    model: str | None = None
    content: str | list[TokenId | str] | None = None
    add_special: bool | None = None
    parse_special: bool | None = None
    with_pieces: bool | None = None


class DetokenizeFields(Fields):
    """The body of `/detokenize`."""

    model: str | None = None
    tokens: list[TokenId] | None = None


class TemplateFields(Fields):
    """The body of `/apply-template`."""

    unused: ClassVar[frozenset[str]] = frozenset({
        "add_generation_prompt", "chat_template_kwargs", "reasoning_format", "response_format",
        "stream", "temperature", "max_tokens", "parallel_tool_calls",
    })  # fmt: skip
    model: str | None = None
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None


async def tokenize(exchange: Exchange, asked: TokenizeFields) -> Reply:
    """The tokens of a text."""
    model = await model_of(exchange, asked.model)
    tokenizer, parse_special = model.model.tokenizer, asked.parse_special is not False

    def work() -> bytes:
        ids = ids_of(
            tokenizer, asked.content or "", "content", add_special=bool(asked.add_special),
            parse_special=parse_special,
        )  # fmt: skip
        if not asked.with_pieces:
            return _listed(ids)
        return _listed([{"id": one, "piece": _shown(piece_of(tokenizer, one))} for one in ids])

    body = await exchange.prepared(work) if asked.content is not None else _listed([])
    return Plain(b'{"tokens":[%b]}' % body, content_type="application/json")


def _listed(values: Sequence[Any]) -> bytes:
    """The JSON of a long list without its brackets, in parts between which others have a turn."""
    parts = (dumps(values[i : i + _PART])[1:-1] for i in range(0, len(values), _PART))
    return b",".join(parts)


async def detokenize(exchange: Exchange, asked: DetokenizeFields) -> Reply:
    """The text of tokens."""
    model = await model_of(exchange, asked.model)
    tokenizer = model.model.tokenizer
    ids = checked_ids(tokenizer, asked.tokens or (), "tokens")
    return Json({"content": await exchange.prepared(text_of, tokenizer, ids)})


async def apply_template(exchange: Exchange, asked: TemplateFields) -> Reply:
    """The prompt of a conversation, as text: `/completion` takes it and answers."""
    model = await model_of(exchange, asked.model)
    if not model.can_chat:
        message = f"the model {model.name} has no template for conversations"
        raise Fault("invalid_request", message, param="messages")
    options = {
        name: value
        for name, value in (("tools", asked.tools), ("tool_choice", asked.tool_choice))
        if value is not None and asked.tools
    }

    def work() -> str:
        return prompt_text(model.model.tokenizer, model.model.chat_ids(asked.messages, **options))

    return Json({"prompt": await exchange.prepared(work)})


def _shown(piece: bytes) -> str | list[int]:
    """A piece as text where it is whole characters, else as bytes."""
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return list(piece)


TOKENIZING = (
    Route("POST", "/tokenize", tokenize, TokenizeFields),
    Route("POST", "/detokenize", detokenize, DetokenizeFields),
    Route("POST", "/apply-template", apply_template, TemplateFields),
)
