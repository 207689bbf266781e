"""How tokens are chosen, under the names that llama.cpp's clients write to several protocols.

Source of the names and of what stands for "off": llama.cpp, tools/server, `POST /completion`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field

from halfbyte.server.fault import refused
from halfbyte.server.fields import Fields, Probability

MAX_STOPS = MAX_BREAKERS = 64
_MAX_SAMPLERS = 32
_MAX_WHOLE = (1 << 31) - 1
_ID = re.compile("[0-9]{1,18}")  # more digits are a text: Python reads no number of any length

Stops = str | Annotated[list[str], Field(max_length=MAX_STOPS)]
# -1 stands for "all of them".
Window = Annotated[int, Field(ge=-1, le=_MAX_WHOLE)]
RepetitionPenalty = Annotated[float, Field(ge=0.01, le=100)]
Biases = dict[str, float | Literal[False]] | list[list[int | str | float | Literal[False]]]


class SamplerFields(Fields):
    """The samplers' settings; what is not given is as the method or its protocol has it."""

    top_k: Annotated[int, Field(ge=-1, le=_MAX_WHOLE)] | None = None
    min_p: Probability | None = None
    top_n_sigma: Annotated[float, Field(ge=-1, le=1e6)] | None = None
    typical_p: Probability | None = None
    xtc_probability: Probability | None = None
    xtc_threshold: Probability | None = None
    dynatemp_range: Annotated[float, Field(ge=0, le=1e3)] | None = None
    dynatemp_exponent: Annotated[float, Field(ge=0, le=1e3)] | None = None
    repeat_penalty: RepetitionPenalty | None = None
    repeat_last_n: Window | None = None
    dry_multiplier: Annotated[float, Field(ge=0, le=1e6)] | None = None
    dry_base: Annotated[float, Field(ge=1, le=1e3)] | None = None
    dry_allowed_length: Annotated[int, Field(ge=1, le=_MAX_WHOLE)] | None = None
    dry_penalty_last_n: Window | None = None
    dry_sequence_breakers: list[str] | None = Field(None, max_length=MAX_BREAKERS)
    mirostat: Annotated[int, Field(ge=0, le=2)] | None = None
    mirostat_tau: Annotated[float, Field(ge=0, le=1e3)] | None = None
    mirostat_eta: Probability | None = None
    adaptive_target: Annotated[float, Field(ge=-1, le=1)] | None = None
    adaptive_decay: Annotated[float, Field(ge=0, le=0.99)] | None = None
    samplers: str | list[str] | None = Field(None, max_length=_MAX_SAMPLERS)


# What the library calls them, where that is something else.
_RENAMED = {
    "repeat_penalty": "repetition_penalty",
    "repeat_last_n": "penalty_window",
    "dry_penalty_last_n": "dry_window",
}
_OFF: dict[str, Any] = {
    "top_k": 0, "top_n_sigma": 0.0, "repeat_last_n": None, "dry_penalty_last_n": None,
    "adaptive_target": None,
}  # fmt: skip


def sampler_options(asked: SamplerFields) -> dict[str, Any]:
    """The settings that were given, as the library's keywords."""
    options: dict[str, Any] = {}
    for name in SamplerFields.model_fields:
        value = getattr(asked, name)
        if value is None:
            continue
        is_off = name in _OFF and value < 0
        options[_RENAMED.get(name, name)] = _OFF[name] if is_off else value
    return options


def seed_options(seed: int | None) -> dict[str, int]:
    """A seed as the library's keyword: -1 draws one, other negative ones are as if unsigned."""
    return {} if seed is None or seed == -1 else {"seed": seed % (1 << 64)}


def biases_of(given: Biases) -> dict[int | str, float]:
    """A logit_bias as the library takes it: by id, or by a text that is one token.

    Args:
        given: an object whose keys are ids or texts, or llama.cpp's list of pairs; false forbids.

    Raises:
        Fault: something in it is no pair of a token and a number.
    """
    pairs = list(given.items()) if isinstance(given, dict) else given
    found: dict[int | str, float] = {}
    for pair in pairs:
        if len(pair) != 2 or not _is_pair(*pair):
            raise refused("logit_bias", "a token and a number, or false", pair)
        token, bias = pair
        if isinstance(token, str) and _ID.fullmatch(token):
            token = int(token)
        found[token] = float("-inf") if bias is False else float(bias)  # type: ignore[index]
    return found


def _is_pair(token: object, bias: object) -> bool:
    is_token = isinstance(token, (int, str)) and not isinstance(token, bool)
    is_bias = bias is False or (isinstance(bias, (int, float)) and not isinstance(bias, bool))
    return is_token and is_bias
