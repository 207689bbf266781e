"""The settings of an answer, as llama.cpp repeats them: what was asked for, the rest as it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from halfbyte.server.llama_cpp.request_schema import GenerationFields
from halfbyte.server.llama_cpp.sampling_options import token_biases
from halfbyte.server.served_model import ServedModel

_SAMPLING = (
    "seed", "temperature", "dynatemp_range", "dynatemp_exponent", "top_k", "top_p", "min_p",
    "top_n_sigma", "xtc_probability", "xtc_threshold", "typical_p", "repeat_last_n",
    "repeat_penalty", "presence_penalty", "frequency_penalty", "dry_multiplier", "dry_base",
    "dry_allowed_length", "dry_penalty_last_n", "dry_sequence_breakers", "mirostat",
    "mirostat_tau", "mirostat_eta", "adaptive_target", "adaptive_decay",
)  # fmt: skip
# What llama.cpp tells and nothing here has.
_CONSTANT: dict[str, Any] = {
    "n_keep": 0, "n_discard": 0, "min_keep": 0, "grammar_lazy": False, "grammar_triggers": [],
    "preserved_tokens": [], "chat_format": "Content-only", "reasoning_format": "none",
    "reasoning_in_content": False, "generation_prompt": "", "speculative.types": "none",
    "backend_sampling": False,
}  # fmt: skip


def generation_settings(asked: GenerationFields, model: ServedModel) -> dict[str, Any]:
    """What a request is answered with."""
    biases = token_biases(asked, model.model.tokenizer)
    return _settings(asked, model.n_ctx, biases)


def _settings(asked: GenerationFields, n_ctx: int, biases: Mapping[int, float]) -> dict[str, Any]:
    n_predict = -1 if asked.n_predict is None else asked.n_predict
    settings = {name: asked.value(name) for name in _SAMPLING}
    settings["seed"] = settings["seed"] % (1 << 32)
    return settings | {
        "stop": asked.stops,
        "max_tokens": n_predict,
        "n_predict": n_predict,
        "ignore_eos": asked.value("ignore_eos"),
        "stream": bool(asked.stream),
        "logit_bias": [
            {"bias": None if bias == -math.inf else bias, "token": token}
            for token, bias in biases.items()
        ],
        "n_probs": asked.n_probs or 0,
        "grammar": asked.grammar or "",
        "samplers": list(asked.order),
        "timings_per_token": bool(asked.timings_per_token),
        "post_sampling_probs": bool(asked.post_sampling_probs),
        "lora": [{"id": one.id, "scale": one.scale} for one in asked.lora or ()],
        "n_ctx": n_ctx,
        **_CONSTANT,
    }


def default_settings(n_ctx: int) -> dict[str, Any]:
    """What a request is answered with that says nothing."""
    return _settings(GenerationFields.model_validate({}), n_ctx, {})
