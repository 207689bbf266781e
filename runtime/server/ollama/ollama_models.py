"""Which models there are: `/api/tags`, `/api/ps`, `/api/show`, `/api/version`, and `HEAD /`."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any, ClassVar

import halfbyte
from halfbyte.server.exchange import Exchange
from halfbyte.server.fault import Fault
from halfbyte.server.fields import Fields
from halfbyte.server.model_facts import ModelFacts, facts_of
from halfbyte.server.protocol import Route
from halfbyte.server.reply import Json, Plain, Reply
from halfbyte.server.served_model import ServedModel

# Whose API this is: clients look at it for what they may send.
OLLAMA_VERSION = "0.13.0"
_FOR_EVER_S = 100 * 365 * 86400.0  # as Ollama says it
# Editors look for this in a template to know whether a model infills.
_INFILLS = "{{- /* .Suffix */ -}}"


class ShowFields(Fields):
    """The body of `/api/show`."""

    unused: ClassVar[frozenset[str]] = frozenset({"verbose", "system", "template", "options"})
    model: str | None = None
    name: str | None = None


async def tags(exchange: Exchange, _: None) -> Reply:
    """All models, those too that are not in memory."""
    sources = exchange.shelf.sources
    listed = [
        _listed(name, await asyncio.to_thread(facts_of, source)) for name, source in sources.items()
    ]
    return Json({"models": listed})


async def ps(exchange: Exchange, _: None) -> Reply:
    """Those in memory."""
    running = []
    for served in exchange.shelf.loaded():
        source = exchange.shelf.sources[served.name]
        listed = _listed(served.name, await asyncio.to_thread(facts_of, source))
        del listed["modified_at"]
        left_s = min(exchange.shelf.idle_left_s(served), _FOR_EVER_S)
        running.append(
            {**listed, "expires_at": _time(time.time() + left_s), "size_vram": 0,
             "context_length": served.n_ctx}
        )  # fmt: skip
    return Json({"models": running})


async def show(exchange: Exchange, asked: ShowFields) -> Reply:
    """One model; it is loaded only where nothing else tells what it is."""
    shelf = exchange.shelf
    name = (asked.model or asked.name or shelf.names[0]).removesuffix(":latest")
    source = shelf.sources.get(name)
    facts = None if source is None else await asyncio.to_thread(facts_of, source)
    served = next((one for one in shelf.loaded() if one.name == name), None)
    if facts is None:
        served = await exchange.model(name)
        facts = await asyncio.to_thread(facts_of, served.model.path)
    if facts is None:
        raise Fault("overloaded", f"{name[:200]}: its file cannot be read now")
    return Json(_shown(name, facts, served))


async def version(exchange: Exchange, _: None) -> Reply:
    """Whose API, and what speaks it."""
    return Json({"version": OLLAMA_VERSION, "halfbyte": halfbyte.__version__})


async def alive(exchange: Exchange, _: None) -> Reply:
    """What clients ask to see whether somebody is there."""
    return Plain(b"Ollama is running")


def tagged(name: str) -> str:
    """A model's name as Ollama has it, with a tag."""
    return name if ":" in name else f"{name}:latest"


def _listed(name: str, facts: ModelFacts | None) -> dict[str, Any]:
    return {
        "name": tagged(name), "model": tagged(name),
        "modified_at": _time(facts.modified_s if facts else 0.0),
        "size": facts.nbytes if facts else 0, "digest": facts.stamp if facts else "",
        "details": _details(facts),
    }  # fmt: skip


def _details(facts: ModelFacts | None) -> dict[str, Any]:
    family = facts.config.architecture if facts else ""
    return {
        "parent_model": "", "format": "gguf", "family": family,
        "families": [family] if family else None,
        "parameter_size": _rounded(facts.n_weights) if facts else "",
        "quantization_level": facts.type_name if facts else "",
    }  # fmt: skip


def _shown(name: str, facts: ModelFacts, served: ServedModel | None) -> dict[str, Any]:
    n_ctx = served.n_ctx if served is not None else facts.config.n_ctx_train
    template = facts.template or "{{ .Prompt }}"
    return {
        "modelfile": f"# {tagged(name)}, served by halfbyte; there is no Modelfile\n",
        "parameters": "\n".join(_parameters(n_ctx, served)),
        "template": f"{_INFILLS}{template}" if facts.can_infill else template,
        "details": _details(facts), "model_info": _model_info(facts, n_ctx),
        "capabilities": list(_capabilities(facts)), "modified_at": _time(facts.modified_s),
    }  # fmt: skip


def _capabilities(facts: ModelFacts) -> Iterator[str]:
    yield "completion"
    if facts.can_call:
        yield "tools"
    if facts.can_infill:
        yield "insert"
    if facts.can_think:
        yield "thinking"
    yield "embedding"


def _parameters(n_ctx: int, served: ServedModel | None) -> Iterator[str]:
    """A line each, as in a Modelfile: the context, and how a chat samples."""
    yield f"{'num_ctx':<30} {n_ctx}"
    names = {"repetition_penalty": "repeat_penalty", "penalty_window": "repeat_last_n"}
    defaults = served.model.chat_defaults if served is not None and served.can_chat else {}
    for key, value in defaults.items():
        if isinstance(value, (int, float)):
            yield f"{names.get(key, key):<30} {value:g}"


def _model_info(facts: ModelFacts, n_ctx: int) -> dict[str, Any]:
    """Keys as GGUF has them; the context is what may be used."""
    c = facts.config
    own = {
        "context_length": n_ctx, "embedding_length": c.dim, "block_count": c.n_layers,
        "feed_forward_length": c.hidden_dim, "attention.head_count": c.n_heads,
        "attention.head_count_kv": c.n_kv_heads, "attention.key_length": c.head_dim,
        "attention.layer_norm_rms_epsilon": c.norm_eps, "rope.freq_base": c.rope.theta,
        "vocab_size": c.vocab_size,
    }  # fmt: skip
    return {
        "general.architecture": c.architecture,
        "general.basename": facts.names[0] if facts.names else "",
        "general.parameter_count": facts.n_weights,
        **{f"{c.architecture}.{key}": value for key, value in own.items()},
        "tokenizer.ggml.model": facts.tokenizer,
    }


def _rounded(n: int) -> str:
    """8030261248 -> "8.0B"."""
    if n <= 0:
        return ""
    power = min(int(math.log10(n)) // 3, 4)
    return f"{n / 1000**power:.1f}{' KMBT'[power].strip()}"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat().replace("+00:00", "Z")


OLLAMA_MODELS = (
    Route("GET", "/api/tags", tags),
    Route("GET", "/api/ps", ps),
    Route("POST", "/api/show", show, ShowFields),
    Route("GET", "/api/version", version, is_open=True),
    Route("HEAD", "/", alive, is_open=True),
)
