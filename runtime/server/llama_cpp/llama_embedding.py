"""`POST /embedding`, `/embeddings`: texts as vectors, in llama.cpp's own shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import AliasChoices, Field

from halfbyte.server.exchange import Exchange
from halfbyte.server.fault import Fault
from halfbyte.server.fields import Fields, TokenId
from halfbyte.server.llama_cpp.llama_shapes import model_of
from halfbyte.server.llama_cpp.request_schema import Mixed
from halfbyte.server.llama_cpp.token_texts import ids_of
from halfbyte.server.protocol import Route
from halfbyte.server.reply import Json, Reply
from halfbyte.tokenizer import Tokenizer

_MOST_TEXTS = 2048
_MAX_ABSOLUTE = 32760.0  # what the largest number becomes, as llama.cpp has it
_EUCLIDEAN = 2


class LlamaEmbeddingFields(Fields):
    """The body."""

    unused: ClassVar[frozenset[str]] = frozenset({"encoding_format", "user", "dimensions"})
    model: str | None = None
    content: str | list[TokenId | str | Mixed] = Field(
        validation_alias=AliasChoices("content", "input")
    )
    embd_normalize: int | None = Field(None, ge=-1, le=64)


async def embed_texts(exchange: Exchange, asked: LlamaEmbeddingFields) -> Reply:
    """A vector for each text: the mean of its positions'."""
    model = await model_of(exchange, asked.model)
    ids = await exchange.prepared(_all_ids, model.model.tokenizer, asked.content)
    how = _EUCLIDEAN if asked.embd_normalize is None else asked.embd_normalize
    rows = await exchange.awaited(lambda: model.model.aembed(ids, normalize=how == _EUCLIDEAN))
    vectors = [row.tolist() if how == _EUCLIDEAN else _scaled(row.tolist(), how) for row in rows]
    return Json([{"index": i, "embedding": [vector]} for i, vector in enumerate(vectors)])


def _all_ids(tokenizer: Tokenizer, given: str | list[Any]) -> list[list[int]]:
    is_one = isinstance(given, str) or any(isinstance(item, int) for item in given)
    texts: list[Any] = [given] if is_one else list(given)
    if not 1 <= len(texts) <= _MOST_TEXTS or not all(texts):
        message = f"content: expected from 1 to {_MOST_TEXTS} texts that are not empty"
        raise Fault("invalid_request", message, param="content")
    if is_one and any(isinstance(part, list) for part in texts[0]):
        message = "content: expected texts or one text's parts, got tokens beside lists"
        raise Fault("invalid_request", message, param="content")
    how = {"add_special": True, "parse_special": True}
    return [ids_of(tokenizer, text, "content", **how) for text in texts]


def _scaled(row: Sequence[float], how: int) -> list[float]:
    """A vector scaled: -1 not at all, 0 to a largest number, 1 by the sum, p by the p-norm.

    Source: llama.cpp, common_embd_normalize.
    """
    if how < 0:
        return list(row)
    if how == 0:
        size = max(map(abs, row)) / _MAX_ABSOLUTE
    else:
        size = math.fsum(abs(x) ** how for x in row) ** (1.0 / how)
    return [x / size if size > 0 else 0.0 for x in row]


EMBEDDING = tuple(
    Route("POST", path, embed_texts, LlamaEmbeddingFields) for path in ("/embedding", "/embeddings")
)
