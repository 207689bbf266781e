"""Checkpoints that hold a model of text and more: Mistral 3, Gemma 3 and 4, Qwen3.5, EXAONE 4.5.

config.json then has the model of text in `text_config`, and its tensors have longer names. What
sees or hears is left out, by name.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from halfbyte.errors import ConversionError
from halfbyte.families.registry import BY_MODEL_TYPE

log = logging.getLogger(__name__)

_TEXT = "text_config"
# model_type of the whole -> of the text, where nothing is stated.
TEXT_KINDS = {
    "mistral3": "mistral", "gemma3": "gemma3_text", "gemma4": "gemma4_text",
    "gemma4_unified": "gemma4_unified_text", "qwen3_5": "qwen3_5_text",
    "qwen3_5_moe": "qwen3_5_moe_text", "exaone4_5": "exaone4",
}  # fmt: skip
# Of the text, as it was called at first.
_RENAMED = {"exaone4_5_text": "exaone4"}
# Names before and since transformers 4.52, and what they are in a model of text.
_PREFIXES = (
    ("language_model.model.", "model."),
    ("language_model.lm_head.", "lm_head."),
    ("model.language_model.", "model."),
)
_OTHERS = ("vision_tower.", "multi_modal_projector.", "vision_model.", "audio_tower.",
           "embed_vision.", "embed_audio.", "visual.")  # fmt: skip
_TIED = "tie_word_embeddings"


def is_wrapped(config: Mapping[str, Any]) -> bool:
    """Whether config.json is of such a checkpoint."""
    kind = config.get("model_type")
    is_known = not isinstance(kind, str) or kind in BY_MODEL_TYPE
    return not is_known and isinstance(config.get(_TEXT), dict)


def text_config(path: Path, config: dict[str, Any]) -> dict[str, Any]:
    """The configuration of the model of text; `config` itself where it is no other's part.

    Raises:
        ConversionError: it is of a kind that does not run.
    """
    if not is_wrapped(config):
        return config
    outer = config.get("model_type")
    inner = {"model_type": TEXT_KINDS.get(str(outer)), **config[_TEXT]}
    kind = inner["model_type"]
    if isinstance(kind, str):
        kind = inner["model_type"] = _RENAMED.get(kind, kind)
    if not isinstance(kind, str) or kind not in BY_MODEL_TYPE:
        key = f"{_TEXT}.model_type"
        hint = f"these run: {', '.join(BY_MODEL_TYPE)}"
        raise ConversionError(path, key, expected="one that runs here", got=repr(kind), hint=hint)
    # As transformers' classes for these have it; what is stored then decides.
    inner[_TIED] = config.get(_TIED, inner.get(_TIED, True))
    others = [key for key in config if key.endswith("_config") and key != _TEXT]
    others = [key for key in others if key.split("_")[0] in ("vision", "audio")]
    log.warning(
        "%s: the model of text (%s) is taken out of a %s; left out: %s",
        path, kind, outer, ", ".join(others) or "nothing",
    )  # fmt: skip
    return inner


def text_names(names: Iterable[str]) -> dict[str, str]:
    """Names of tensors in such a checkpoint -> those in a model of text; without what is left out.

    Names that are not known stay, for whoever checks them.
    """
    found = {}
    for name in names:
        if name.removeprefix("model.").startswith(_OTHERS):
            continue
        for prefix, short in _PREFIXES:
            if name.startswith(prefix):
                found[name] = short + name[len(prefix) :]
                break
        else:
            found[name] = name
    return found
