"""What to paste into editors and programs, for what the served model can do (docs/editors.md)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from halfbyte.prompt.infill import require_format

if TYPE_CHECKING:
    from halfbyte.server.served_model import ServedModel

NO_KEY = "none"
# Zed's names of formats, by the first marker of an infilling family or the format of edits.
_ZED = {
    "▁<PRE>": "code_llama", "<|fim_prefix|>": "qwen", "<fim_prefix>": "star_coder",
    "<｜fim▁begin｜>": "deepseek_coder", "[PREFIX]": "codestral",
    "sweep": "sweep", "zeta-2": "zeta2", "zeta-2.1": "zeta2_1",
}  # fmt: skip
_CURSORTAB = {"sweep": "sweep", "zeta-2": "zeta-2"}


def editor_lines(url: str, model: ServedModel, key: str = NO_KEY) -> Iterator[tuple[str, str]]:
    """A program and its line, for each that the model is of use to.

    Args:
        url: where the server is.
        model: whose name is in the lines.
        key: what stands for a key; NO_KEY where the server wants none.
    """
    if model.model.can_infill:
        yield from _infilling(url, key)
    yield from _next_edits(url, model)
    roles = ("chat, edit, apply, " if model.can_chat else "") + "autocomplete"
    if model.model.can_infill:
        yield "Continue", _continue("ollama", url, model.name, key, roles)
    elif model.can_chat:
        yield "Continue", _continue("openai", f"{url}/v1", model.name, key, "chat, edit, apply")
    yield "OpenAI clients", f"export OPENAI_BASE_URL={url}/v1 OPENAI_API_KEY={key}"
    if model.can_chat:
        exports = f"ANTHROPIC_BASE_URL={url} ANTHROPIC_API_KEY={key} ANTHROPIC_MODEL={model.name}"
        yield "Claude Code", f"export {exports}"
    yield "Ollama clients", f"export OLLAMA_HOST={url}"


def _infilling(url: str, key: str) -> Iterator[tuple[str, str]]:
    vim, code = f"'endpoint_fim': '{url}/infill'", f'"llama-vscode.endpoint": "{url}"'
    if key != NO_KEY:
        vim, code = f"{vim}, 'api_key': '{key}'", f'{code}, "llama-vscode.api_key": "{key}"'
    yield "llama.vim", f"let g:llama_config = {{{vim}}}"
    yield "llama.vscode", code


def _next_edits(url: str, model: ServedModel) -> Iterator[tuple[str, str]]:
    known = model.edit_format
    if known is None and model.model.can_infill:
        known = require_format(model.model.tokenizer).family.prefix
    if (zed := _ZED.get(known or "")) is not None:
        asked = {"api_url": f"{url}/v1/completions", "model": model.name, "prompt_format": zed}
        provider = "open_ai_compatible_api"
        settings = {"provider": provider, provider: asked}
        yield "Zed", f'"edit_predictions": {json.dumps(settings)}'
    if known in _CURSORTAB:
        kind = f'type = "{_CURSORTAB[known]}", url = "{url}", model = "{model.name}"'
        yield "cursortab", f"provider = {{ {kind} }}"


def _continue(provider: str, base: str, name: str, key: str, roles: str) -> str:
    """An entry of the list `models` in its config.yaml."""
    secret = "" if provider == "ollama" and key == NO_KEY else f", apiKey: {key}"
    return (
        f"- {{name: halfbyte, provider: {provider}, model: {json.dumps(name)}, "
        f"apiBase: {base}{secret}, roles: [{roles}]}}"
    )
