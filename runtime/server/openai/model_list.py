"""`GET /v1/models` and `/v1/models/{name}`: what is served, loaded or not.

Source: https://platform.openai.com/docs/api-reference/models; `meta` is llama.cpp's, by which
llama.vscode sees that `/props` is there too; `max_model_len` is vLLM's; what Anthropic's clients
read stands beside it (https://docs.anthropic.com/en/api/models-list). Of a model that is not in
memory, its file tells.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone
from typing import Any

from halfbyte.server.exchange import Exchange
from halfbyte.server.model_facts import ModelFacts, facts_of, shape_of
from halfbyte.server.protocol import Route
from halfbyte.server.reply import Json, Reply
from halfbyte.server.served_model import ServedModel


async def list_models(exchange: Exchange, _: None) -> Reply:
    """All names, the first model's first."""
    models = [await _model(exchange, name) for name in exchange.shelf.names]
    ends = {"first_id": models[0]["id"], "last_id": models[-1]["id"], "has_more": False}
    return Json({"object": "list", "data": models, **ends})


async def show_model(exchange: Exchange, _: None) -> Reply:
    """One of them."""
    return Json(await _model(exchange, exchange.shelf.known(exchange.path["name"])))


async def _model(exchange: Exchange, name: str) -> dict[str, Any]:
    served = next((one for one in exchange.shelf.loaded() if one.name == name), None)
    created = 0 if served is None else served.created
    shell = {
        "id": name, "object": "model", "owned_by": "halfbyte", "created": created, "type": "model",
        "display_name": name,
        "created_at": datetime.fromtimestamp(created, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }  # fmt: skip
    facts = await asyncio.to_thread(facts_of, exchange.shelf.sources[name])
    meta = {} if facts is None else _of_file(facts)
    if served is None:
        return {**shell, "meta": meta}
    meta |= _of_loaded(served)
    n_ctx = served.n_ctx
    return {**shell, "max_model_len": n_ctx, "max_input_tokens": n_ctx, "meta": meta}


def _of_file(facts: ModelFacts) -> dict[str, Any]:
    config = facts.config
    return {
        **shape_of(config, facts.tokenizer), "n_params": facts.n_weights, "size": facts.nbytes,
        "architecture": config.architecture, "can_chat": bool(facts.template),
        "can_infill": facts.can_infill,
    }  # fmt: skip


def _of_loaded(served: ServedModel) -> dict[str, Any]:
    model, config = served.model, served.model.config
    return {
        **shape_of(config, model.tokenizer.vocabulary.model), "n_ctx": served.n_ctx,
        "architecture": config.architecture, "can_chat": served.can_chat,
        "can_infill": model.can_infill, "edit_format": served.edit_format,
    }  # fmt: skip


MODELS = (
    Route("GET", "/v1/models", list_models),
    Route("GET", "/v1/models/{name:path}", show_model),
)
