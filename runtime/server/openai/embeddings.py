"""`POST /v1/embeddings`: texts as vectors of length 1, the mean of the last layer's states.

Source: https://platform.openai.com/docs/api-reference/embeddings. Its client asks for base64: the
bytes of little-endian float32.
"""

from __future__ import annotations

import base64
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from halfbyte.model import Model
from halfbyte.server.exchange import Exchange
from halfbyte.server.fault import refused
from halfbyte.server.fields import Fields, Positive, TokenId
from halfbyte.server.openai.shapes import naming
from halfbyte.server.protocol import Route
from halfbyte.server.reply import Json, Reply

MAX_INPUTS = 2048  # OpenAI's
_FIELD_OF = {"texts": "input"}
_Ids = Annotated[list[TokenId], Field(min_length=1)]
_Several = Field(min_length=1, max_length=MAX_INPUTS)


class EmbeddingFields(Fields):
    """The body."""

    unused: ClassVar[frozenset[str]] = frozenset({"user", "truncate_prompt_tokens", "priority"})
    model: str | None = None
    input: str | _Ids | Annotated[list[str], _Several] | Annotated[list[_Ids], _Several]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Positive | None = None


async def embed(exchange: Exchange, asked: EmbeddingFields) -> Reply:
    """Answer a request."""
    served = await exchange.model(asked.model)
    model = served.model
    dim = model.config.dim
    if asked.dimensions not in (None, dim):
        expected = f"{dim}, of which none can be left out"
        raise refused("dimensions", expected, asked.dimensions)
    given: Any = asked.input
    is_one = isinstance(given, str) or isinstance(given[0], int)
    with naming(_FIELD_OF):
        vectors = await exchange.awaited(lambda: model.aembed(given))
        n_tokens = await exchange.prepared(_n_tokens, model, [given] if is_one else given)
    rows = [vectors] if is_one else list(vectors)
    as_text = asked.encoding_format == "base64"
    data = [
        {
            "object": "embedding", "index": i,
            "embedding": base64.b64encode(row.astype("<f4").tobytes()).decode()
            if as_text else row.tolist(),
        }
        for i, row in enumerate(rows)
    ]  # fmt: skip
    return Json(
        {
            "object": "list", "data": data, "model": served.name,
            "usage": {"prompt_tokens": n_tokens, "total_tokens": n_tokens},
        }
    )  # fmt: skip


def _n_tokens(model: Model, inputs: list[Any]) -> int:
    encode = model.tokenizer.encode
    return sum(len(encode(one) if isinstance(one, str) else one) for one in inputs)


EMBEDDINGS = (Route("POST", "/v1/embeddings", embed, EmbeddingFields),)
