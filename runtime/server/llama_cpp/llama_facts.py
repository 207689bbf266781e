"""What llama.cpp's clients ask about models: `/props`, `/models`, `/slots`, `/lora-adapters`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import halfbyte
from halfbyte.prompt.thinking import EFFORT
from halfbyte.server.exchange import Exchange
from halfbyte.server.fault import Fault
from halfbyte.server.llama_cpp.generation_settings import default_settings
from halfbyte.server.llama_cpp.llama_shapes import loaded_model_of
from halfbyte.server.model_facts import facts_of, shape_of
from halfbyte.server.protocol import Route
from halfbyte.server.reply import Json, Reply
from halfbyte.server.served_model import ServedModel

_MODALITIES = {"vision": False, "video": False, "audio": False}
_ONLY_ONES_OWN = ("stop", "logit_bias", "grammar", "grammar_triggers", "preserved_tokens",
                  "dry_sequence_breakers", "n_ctx")  # fmt: skip


async def props(exchange: Exchange, asked: None) -> Reply:
    """What the server does with a request that says nothing, and about its model; of one that is
    not loaded, what its file says.
    """
    name, model = await loaded_model_of(exchange, exchange.query.get("model"))
    facts = await _facts(exchange, name) if model is None else _loaded_facts(model)
    template, for_tools = facts["chat_template"], facts.pop("chat_template_tool_use")
    return Json({
        "total_slots": exchange.settings.n_places,
        "model_alias": name,
        "modalities": _MODALITIES,
        "media_marker": "",
        "endpoint_slots": True,
        "endpoint_props": False,
        "endpoint_metrics": True,
        "ui": True,
        "ui_settings": {},
        "chat_template_caps": _abilities(for_tools or template),
        "build_info": f"halfbyte-{halfbyte.__version__}",
        "is_sleeping": model is None,
        "cors_proxy_enabled": False,
        **facts,
        **({"chat_template_tool_use": for_tools} if for_tools else {}),
    })  # fmt: skip


def _loaded_facts(model: ServedModel) -> dict[str, Any]:
    tokenizer = model.model.tokenizer
    return {
        "default_generation_settings": _defaults(model.n_ctx),
        "model_ftype": _ftype(model),
        "model_path": Path(model.model.path).name,
        "chat_template": tokenizer.chat_template or "",
        "chat_template_tool_use": tokenizer.vocabulary.tool_template or "",
        "bos_token": "" if tokenizer.bos_id is None else tokenizer.piece(tokenizer.bos_id),
        "eos_token": "" if tokenizer.eos_id is None else tokenizer.piece(tokenizer.eos_id),
    }


async def _facts(exchange: Exchange, name: str) -> dict[str, Any]:
    source = exchange.shelf.sources[name]
    facts = await asyncio.to_thread(facts_of, source)
    return {
        "default_generation_settings": _defaults(facts.config.n_ctx_train if facts else 0),
        "model_ftype": facts.type_name if facts else "",
        "model_path": Path(source).name,
        "chat_template": facts.template if facts else "",
        "chat_template_tool_use": facts.tool_template if facts else "",
        "bos_token": "", "eos_token": "",
    }  # fmt: skip


def _defaults(n_ctx: int) -> dict[str, Any]:
    settings = default_settings(n_ctx)
    params = {name: value for name, value in settings.items() if name not in _ONLY_ONES_OWN}
    return {"params": params, "n_ctx": n_ctx}


async def list_models(exchange: Exchange, asked: None) -> Reply:
    """The models by name, with facts of those that are in memory."""
    loaded = {served.name: served for served in exchange.shelf.loaded()}
    names = exchange.shelf.names
    models = [_listed(name, loaded.get(name)) for name in names]
    data = [_described(name, loaded.get(name)) for name in names]
    return Json({"models": models, "object": "list", "data": data})


async def list_slots(exchange: Exchange, asked: None) -> Reply:
    """As many slots as requests are worked on at a time; which of them, nobody knows."""
    gate = exchange.gate
    if exchange.query.get("fail_on_no_slot") and gate.n_running >= gate.n_places:
        raise Fault("overloaded", "no slot available", retry_after=1)
    _, model = await loaded_model_of(exchange, exchange.query.get("model"))
    n_ctx = 0 if model is None else model.n_ctx
    return Json([
        {"id": i, "n_ctx": n_ctx, "speculative": False,
         "is_processing": i < gate.n_running}
        for i in range(gate.n_places)
    ])  # fmt: skip


async def list_adapters(exchange: Exchange, asked: None) -> Reply:
    """The adapters by number, with their scales in requests that say nothing of adapters."""
    name, model = await loaded_model_of(exchange, exchange.query.get("model"))
    if model is None:
        message = f"{name} is not loaded: a request for an answer loads it"
        raise Fault("overloaded", message, retry_after=1)
    scales = enumerate(model.model.adapter_scales.items())
    return Json([{"id": i, "path": name, "scale": scale} for i, (name, scale) in scales])


async def refuse_adapters(exchange: Exchange, asked: None) -> Reply:
    """Nobody changes what others get."""
    message = "adapters are not set for all requests: give each request its `lora`"
    raise Fault("not_supported", message)


async def refuse_props(exchange: Exchange, asked: None) -> Reply:
    """There is nothing to change."""
    raise Fault("not_supported", "This server does not support changing global properties.")


def _listed(name: str, model: ServedModel | None) -> dict[str, Any]:
    """A model as Ollama's clients read it."""
    return {
        "name": name, "model": name, "modified_at": "", "size": "", "digest": "", "type": "model",
        "description": "", "tags": [""], "capabilities": ["completion"], "parameters": "",
        "details": {
            "parent_model": "", "format": "gguf",
            "family": model.model.config.architecture if model else "",
            "families": [model.model.config.architecture if model else ""],
            "parameter_size": "", "quantization_level": _ftype(model) if model else "",
        },
    }  # fmt: skip


def _described(name: str, model: ServedModel | None) -> dict[str, Any]:
    """A model as OpenAI's clients read it; llama.vscode knows llama.cpp by its owner."""
    return {
        "id": name, "aliases": [name], "tags": [], "object": "model",
        "architecture": {"input_modalities": ["text"], "output_modalities": ["text"]},
        "created": model.created if model else 0, "owned_by": "llamacpp",
        "meta": _meta(model) if model else None,
        "status": {"value": "loaded" if model else "unloaded"},
    }  # fmt: skip


def _meta(model: ServedModel) -> dict[str, Any]:
    matrices = model.model.engine.weights.matrices.values()
    return {
        **shape_of(model.model.config, model.model.tokenizer.vocabulary.model),
        "n_ctx": model.n_ctx,
        "n_params": sum(one.n_rows * one.n_inputs for one in matrices),
        "size": sum(one.nbytes for one in matrices), "ftype": _ftype(model),
    }  # fmt: skip


def _ftype(model: ServedModel) -> str:
    """The format that most of the weights have."""
    nbytes: dict[str, int] = {}
    for one in model.model.engine.weights.matrices.values():
        nbytes[one.format.name] = nbytes.get(one.format.name, 0) + one.nbytes
    return max(nbytes, key=nbytes.__getitem__)


def _abilities(template: str) -> dict[str, bool]:
    """What a template makes use of, by the names in it."""
    has_tools = "tools" in template
    return {
        "supports_object_arguments": has_tools, "supports_parallel_tool_calls": has_tools,
        "supports_preserve_reasoning": False, "supports_reasoning_effort": EFFORT in template,
        "supports_string_content": bool(template), "supports_system_role": "system" in template,
        "supports_tool_calls": has_tools, "supports_tools": has_tools,
        "supports_typed_content": False,
    }  # fmt: skip


FACTS = (
    Route("GET", "/props", props),
    Route("POST", "/props", refuse_props),
    Route("GET", "/models", list_models),
    Route("GET", "/slots", list_slots),
    Route("GET", "/lora-adapters", list_adapters),
    Route("POST", "/lora-adapters", refuse_adapters),
)
