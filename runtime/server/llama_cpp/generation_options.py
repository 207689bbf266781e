"""What `/completion` and `/infill` ask for, as keywords of a call."""

from __future__ import annotations

from typing import Any

from halfbyte.generation.block_ends import indentation
from halfbyte.server.llama_cpp.request_schema import GenerationFields
from halfbyte.server.llama_cpp.sampling_options import sampling_options
from halfbyte.server.served_model import ServedModel


def generation_options(asked: GenerationFields, model: ServedModel) -> dict[str, Any]:
    """The keywords of a call.

    Where a prompt is only to be processed, for the requests that follow, nothing is sampled.

    Raises:
        Fault, RequestError: a bad value.
    """
    options = _adapters(asked, model)
    if asked.n_predict == 0:
        return options | {"max_tokens": 0}
    options |= sampling_options(asked, model.model.tokenizer)
    if asked.n_predict is None or asked.n_predict < 0:
        options["max_tokens"] = model.n_ctx
    else:
        options["max_tokens"] = asked.n_predict
    if asked.stops:
        options["stop"] = asked.stops
    if asked.t_max_predict_ms and asked.t_max_predict_ms > 0:
        options["line_time"] = asked.t_max_predict_ms / 1e3
    if asked.n_probs:
        options["logprobs"] = asked.n_probs
        options["logprobs_of"] = "sampler" if asked.post_sampling_probs else "model"
    return options


def indent_options(asked: GenerationFields, before: str) -> dict[str, int]:
    """Where an answer ends by its indentation, behind this text.

    `n_indent` counts characters of the cursor's line, which may be tabs.
    """
    if not asked.n_indent or asked.n_predict == 0:
        return {}
    line = before[before.rfind("\n") + 1 :][: asked.n_indent]
    n_blanks = len(line) - len(line.lstrip(" \t"))
    columns = indentation(line[:n_blanks]) or 0
    return {"stop_indent": columns + asked.n_indent - n_blanks}


def _adapters(asked: GenerationFields, model: ServedModel) -> dict[str, Any]:
    """The adapters by their numbers; those that are not named have no part, as in llama.cpp."""
    names = model.model.adapters
    if asked.lora is None or not names:  # editors send it whatever is loaded
        return {}
    scales = {one.id: one.scale for one in asked.lora}
    return {"adapter": [(name, scales[i]) for i, name in enumerate(names) if scales.get(i)]}
