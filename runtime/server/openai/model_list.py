"""`GET /v1/models` and `/v1/models/{name}`: what is served, loaded or not.

Source: https://platform.openai.com/docs/api-reference/models; `meta` is llama.cpp's, by which
llama.vscode sees that `/props` is there too; `max_model_len` is vLLM's.
"""

from __future__ import annotations

from typing import Any

from halfbyte.server.exchange import Exchange
from halfbyte.server.fault import Fault
from halfbyte.server.protocol import Route
from halfbyte.server.reply import Json, Reply
from halfbyte.server.served_model import ServedModel

_SPM, _BPE = 1, 2  # llama.cpp's kinds of vocabularies


async def list_models(exchange: Exchange, _: None) -> Reply:
    """All names, the first model's first."""
    told = _loaded(exchange)
    models = [_model(name, told.get(name)) for name in exchange.shelf.names]
    return Json({"object": "list", "data": models})


async def show_model(exchange: Exchange, _: None) -> Reply:
    """One of them."""
    name = exchange.path["name"]
    plain = name.removesuffix(":latest")
    if plain not in exchange.shelf.names:
        names = ", ".join(exchange.shelf.names)
        message = f"model: expected one of {names}, got {name[:200]!r}"
        raise Fault("not_found", message, param="model")
    return Json(_model(plain, _loaded(exchange).get(plain)))


def _loaded(exchange: Exchange) -> dict[str, ServedModel]:
    return {served.name: served for served in exchange.shelf.loaded()}


def _model(name: str, served: ServedModel | None) -> dict[str, Any]:
    """What is told of a model; of one that is not in memory, its name."""
    shell = {"id": name, "object": "model", "owned_by": "halfbyte"}
    if served is None:
        return {**shell, "created": 0, "meta": {}}
    model = served.model
    config, tokenizer = model.config, model.tokenizer
    meta = {
        "vocab_type": _SPM if tokenizer.kind == "spm" else _BPE, "n_vocab": tokenizer.n_vocab,
        "n_ctx": model.n_ctx, "n_ctx_train": config.n_ctx_train, "n_embd": config.dim,
        "size": served.nbytes, "architecture": config.architecture,
        "can_chat": served.can_chat, "can_infill": model.can_infill,
        "edit_format": served.edit_format,
    }  # fmt: skip
    return {**shell, "created": served.created, "max_model_len": model.n_ctx, "meta": meta}


MODELS = (
    Route("GET", "/v1/models", list_models),
    Route("GET", "/v1/models/{name:path}", show_model),
)
