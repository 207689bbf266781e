"""How chat chooses tokens where its caller does not say: as the model's makers do, or as others do.

What a caller of `chat` leaves out is, in this order,

1. what the file says (`general.sampling.*`, where a model's generation_config.json is kept). If it
   says anything about how likely tokens are drawn, what it leaves out is as transformers has it:
   temperature 1, top_k 50.
2. llama.cpp's defaults: temperature 0.8, top_k 40, top_p 0.95, min_p 0.05.

`complete` and `infill` take the most likely token unless they are told otherwise.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import Any

from halfbyte.errors import RequestError
from halfbyte.generation.params import SamplingParams

log = logging.getLogger(__name__)

# Source: llama.cpp, common_params_sampling.
USUAL: dict[str, float] = {
    "temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05, "repetition_penalty": 1.0,
}  # fmt: skip
# Source: transformers, GenerationConfig.
UNSTATED: dict[str, float] = {"temperature": 1.0, "top_k": 50}
_FILTERS = ("top_k", "top_p", "min_p")


def chat_defaults(stated: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The defaults of a model whose file, `path`, states these; what is out of range gets a word.

    At temperature 0 there are no filters, which would do nothing.
    """
    usable: dict[str, Any] = {}
    for name, value in stated.items():
        # llama.cpp takes a temperature or top_k below 0 for 0
        value = value if isinstance(value, str) else max(value, 0)
        try:
            SamplingParams.quietly(**{name: value})
        except RequestError as error:
            log.warning("%s: general.sampling: %s: not used", path, error)
        else:
            usable[name] = value
    is_told = bool(usable.keys() & {"temperature", *_FILTERS})
    params = {**(UNSTATED if is_told else USUAL), **usable}
    return params if params["temperature"] else _without(params, {*_FILTERS})


def chat_params(defaults: Mapping[str, Any], given: Mapping[str, object]) -> SamplingParams:
    """The parameters of a chat: what was given, and the defaults for the rest.

    Defaults that have no effect beside what is given are left out without a word.

    Raises:
        RequestError: a name that does not exist, or a bad value.
    """
    params = SamplingParams.quietly(**{**defaults, **given})
    idle = {name for name, _ in params.without_effect()} - {"temperature"}
    idle |= {*_FILTERS} if params.is_greedy else set()
    return SamplingParams.from_kwargs(**{**_without(defaults, idle), **given})


def _without(params: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if name not in names}
