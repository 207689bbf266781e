"""`POST /api/embed` and, as it was before, `/api/embeddings`: texts as vectors."""

from __future__ import annotations

import time
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from halfbyte.model import Model
from halfbyte.server.exchange import Exchange
from halfbyte.server.fault import Fault
from halfbyte.server.fields import Fields, Positive
from halfbyte.server.ollama.loading_asked import kept
from halfbyte.server.ollama.ollama_options import ollama_errors
from halfbyte.server.protocol import Route
from halfbyte.server.reply import Json, Reply

_NS = 1_000_000_000
Texts = Annotated[list[str], Field(max_length=2048)]


class EmbedFields(Fields):
    """The body of `/api/embed`."""

    unused: ClassVar[frozenset[str]] = frozenset({"options"})
    model: str | None = None
    input: str | Texts | None = None
    truncate: bool | None = None
    dimensions: Positive | None = None
    keep_alive: int | float | str | None = None


class EmbeddingsFields(Fields):
    """The body of `/api/embeddings`."""

    unused: ClassVar[frozenset[str]] = frozenset({"options"})
    model: str | None = None
    prompt: str | None = None
    keep_alive: int | float | str | None = None


async def embed(exchange: Exchange, asked: EmbedFields) -> Reply:
    """Vectors of length 1, one for each text."""
    begun_s = time.monotonic()
    model = await exchange.model(asked.model)
    kept(exchange, model, asked.keep_alive)
    load_s = time.monotonic() - begun_s
    texts = [asked.input] if isinstance(asked.input, str) else asked.input or []
    texts = [] if texts == [""] else texts
    ids = await exchange.prepared(_ids, model.model, texts, asked.truncate is not False)
    vectors: NDArray[np.float32] = np.zeros((0, 0), np.float32)
    if ids:
        with ollama_errors():
            vectors = np.asarray(await exchange.awaited(lambda: model.model.aembed(ids)))
    if asked.dimensions is not None and ids:
        vectors = _shortened(vectors, asked.dimensions)
    return Json(
        {
            "model": asked.model or model.name, "embeddings": vectors.tolist(),
            "total_duration": int((time.monotonic() - exchange.begun_s) * _NS),
            "load_duration": int(load_s * _NS), "prompt_eval_count": sum(map(len, ids)),
        }
    )  # fmt: skip


async def embeddings(exchange: Exchange, asked: EmbeddingsFields) -> Reply:
    """One vector, as long as it comes."""
    model = await exchange.model(asked.model)
    kept(exchange, model, asked.keep_alive)
    if not asked.prompt:  # which only loads the model
        return Json({"embedding": []})
    prompt = asked.prompt
    with ollama_errors(texts="prompt"):
        vector = await exchange.awaited(lambda: model.model.aembed(prompt, normalize=False))
    return Json({"embedding": np.asarray(vector).tolist()})


def _ids(model: Model, texts: list[str], is_cut: bool) -> list[list[int]]:
    """The tokens of texts; what is too long is cut at its end, if it may be."""
    for i, text in enumerate(texts):
        if not text:
            where = f"input.{i}"
            raise Fault("invalid_request", f"{where}: expected some text, got none", param=where)
    most = model.n_ctx - 1 if is_cut else None
    return [model.tokenizer.encode(text)[:most] for text in texts]


def _shortened(vectors: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    """Their first numbers, of length 1 again."""
    cut = vectors[:, :n].astype(np.float64)
    lengths = np.sqrt((cut**2).sum(-1, keepdims=True))
    shortened: NDArray[np.float32] = (cut / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return shortened


OLLAMA_EMBEDDINGS = (
    Route("POST", "/api/embed", embed, EmbedFields),
    Route("POST", "/api/embeddings", embeddings, EmbeddingsFields),
)
