"""What a caller may ask of the samplers in this room: names, ranges, order.

Apart from NumPy, as params.py is, which has the defaults.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TypedDict

from halfbyte.call_arguments import literal
from halfbyte.errors import RequestError

# In the default order. It is llama.cpp's, but for the temperature, which there comes last; here it
# comes before top-p, as in transformers, so that `temperature` means what it always meant. That has
# top_h and the cutoffs, too.
SAMPLERS = (
    "penalties", "dry", "top_n_sigma", "top_k", "typical_p", "temperature", "top_p", "min_p", "xtc",
    "top_h", "epsilon_cutoff", "eta_cutoff", "adaptive_p",
)  # fmt: skip
INFILL = "infill"  # applied only where it is asked for
# Source: llama.cpp, common_sampler_types_from_names; what is spelled with other dashes is equal.
_ALIASES = {"typ_p": "typical_p", "typ": "typical_p", "nucleus": "top_p", "temp": "temperature"}
_BY_SPELLING = {
    name.replace("_", ""): _ALIASES.get(name, name) for name in (*SAMPLERS, INFILL, *_ALIASES)
}  # fmt: skip
_REFUSED = {
    "mirostat": "mirostat=1 or 2 takes the place of all samplers but the temperature",
}
RANGES: dict[str, tuple[float, float]] = {
    "top_n_sigma": (0.0, 1e6),
    "typical_p": (0.0, 1.0),
    "xtc_probability": (0.0, 1.0),
    "xtc_threshold": (0.0, 1.0),
    "top_h": (0.0, 1.0),
    "epsilon_cutoff": (0.0, 1.0),
    "eta_cutoff": (0.0, 1.0),
    "dynatemp_range": (0.0, 1e3),
    "dynatemp_exponent": (0.0, 1e3),
    "dry_multiplier": (0.0, 1e6),
    "dry_base": (1.0, 1e3),
    "mirostat_tau": (0.0, 1e3),
    "mirostat_eta": (0.0, 1.0),
    "adaptive_decay": (0.0, 0.99),
}
# What each sampler looks at; without the first of them being set it does nothing.
OF_SAMPLER = {
    "penalties": ("penalty_window", "repetition_penalty", "presence_penalty", "frequency_penalty"),
    "dry": ("dry_multiplier", "dry_base", "dry_allowed_length", "dry_window",
            "dry_sequence_breakers"),
    "top_n_sigma": ("top_n_sigma",),
    "top_k": ("top_k",),
    "typical_p": ("typical_p",),
    "temperature": ("dynatemp_range", "dynatemp_exponent"),
    "top_p": ("top_p",),
    "min_p": ("min_p",),
    "xtc": ("xtc_probability", "xtc_threshold"),
    "top_h": ("top_h",),
    "epsilon_cutoff": ("epsilon_cutoff",),
    "eta_cutoff": ("eta_cutoff",),
    "adaptive_p": ("adaptive_target", "adaptive_decay"),
}  # fmt: skip
OF_MIROSTAT = ("mirostat", "mirostat_tau", "mirostat_eta")
# Those that have an effect at temperature 0 too.
AT_ANY_TEMPERATURE = (*OF_SAMPLER["penalties"], *OF_SAMPLER["dry"])
MAX_BREAKERS, MAX_BREAKER_LENGTH = 64, 40  # the latter in characters, as in llama.cpp


class SamplerOptions(TypedDict, total=False):
    """The keywords of this room's samplers, for editors and type checkers; see SamplingParams."""

    penalty_window: int | None
    top_n_sigma: float
    typical_p: float
    xtc_probability: float
    xtc_threshold: float
    top_h: float
    epsilon_cutoff: float
    eta_cutoff: float
    dynatemp_range: float
    dynatemp_exponent: float
    dry_multiplier: float
    dry_base: float
    dry_allowed_length: int
    dry_window: int | None
    dry_sequence_breakers: str | Collection[str]
    mirostat: int
    mirostat_tau: float
    mirostat_eta: float
    adaptive_target: float | None
    adaptive_decay: float
    samplers: str | Sequence[str] | None


def sampler_names(value: object) -> tuple[str, ...]:
    """The names of samplers: a list, or a text in which semicolons part them; each once.

    Raises:
        RequestError: something else, a name that does not exist, or one twice.
    """
    items = value.split(";") if isinstance(value, str) else value
    if not isinstance(items, (list, tuple)):
        raise RequestError("samplers", expected="a list of names", got=literal(value))
    found = [_name(item) for item in items]
    for name in found:
        if found.count(name) > 1:
            raise RequestError("samplers", expected="each sampler once", got=f"{name} twice")
    return tuple(found)


def _name(item: object) -> str:
    known = f"names of samplers: {', '.join((*SAMPLERS, INFILL))}"
    if not isinstance(item, str):
        raise RequestError("samplers", expected=known, got=literal(item))
    spelling = item.strip().lower().replace("-", "").replace("_", "")
    if spelling not in _BY_SPELLING:
        hint = _REFUSED.get(spelling, "")
        raise RequestError("samplers", expected=known, got=literal(item), hint=hint)
    return _BY_SPELLING[spelling]
