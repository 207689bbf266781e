"""The sampling fields of llama.cpp's requests, with llama.cpp's names and defaults."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from halfbyte.server.fields import Penalty, Probability
from halfbyte.server.sampling_fields import MAX_BREAKERS, SamplerFields

Bias = Annotated[float, Field(ge=-1000, le=1000)] | Literal[False]

# Letters stand for samplers where they are given as one text.
_LETTERS = {
    "e": "penalties", "d": "dry", "s": "top_n_sigma", "k": "top_k", "y": "typ_p", "p": "top_p",
    "m": "min_p", "x": "xtc", "t": "temperature", "i": "infill", "a": "adaptive_p",
}  # fmt: skip
_ORDER = ("penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc",
          "temperature")  # fmt: skip


class SamplingFields(SamplerFields):
    """What chooses the tokens; null stands for the default, and so does what is not given."""

    temperature: float | None = Field(None, ge=-1, le=100)
    top_p: Probability | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    dry_base: float | None = Field(None, ge=0, le=1e3)
    dry_sequence_breakers: list[str] | None = Field(None, min_length=1, max_length=MAX_BREAKERS)
    seed: int | None = Field(None, ge=-1, lt=1 << 64)
    grammar: str | None = None
    json_schema: dict[str, Any] | bool | None = None
    logit_bias: (
        list[Annotated[list[Any], Field(min_length=2, max_length=2)]] | dict[str, Bias] | None
    ) = Field(None, max_length=10_000)
    ignore_eos: bool | None = None

    def value(self, name: str) -> Any:
        """A field's value, or llama.cpp's default."""
        given = getattr(self, name)
        return DEFAULTS[name] if given is None else given

    @property
    def order(self) -> tuple[str, ...]:
        """Names of the samplers that are applied, in their order."""
        if self.samplers is None:
            return _ORDER
        if isinstance(self.samplers, str):
            return tuple(_LETTERS.get(letter, letter) for letter in self.samplers)
        return tuple(self.samplers)


DEFAULTS: dict[str, Any] = {
    "temperature": 0.8, "dynatemp_range": 0.0, "dynatemp_exponent": 1.0, "top_k": 40,
    "top_p": 0.95, "min_p": 0.05, "typical_p": 1.0, "top_n_sigma": -1.0, "xtc_probability": 0.0,
    "xtc_threshold": 0.1, "repeat_penalty": 1.0, "repeat_last_n": 64, "presence_penalty": 0.0,
    "frequency_penalty": 0.0, "dry_multiplier": 0.0, "dry_base": 1.75, "dry_allowed_length": 2,
    "dry_penalty_last_n": 64, "dry_sequence_breakers": ["\n", ":", '"', "*"], "mirostat": 0,
    "mirostat_tau": 5.0, "mirostat_eta": 0.1, "adaptive_target": -1.0, "adaptive_decay": 0.9,
    "seed": -1, "ignore_eos": False,
}  # fmt: skip
