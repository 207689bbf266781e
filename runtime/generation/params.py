"""What a caller may ask of the sampler: every parameter, its default and its range.

The defaults live here and nowhere else. Apart from NumPy, so that the command line can show its
help without importing it; sampler.py has the arithmetic.
"""

from __future__ import annotations

import logging
import math
import os
from dataclasses import fields, replace

from halfbyte.call_arguments import is_whole, literal, unknown_argument
from halfbyte.errors import RequestError
from halfbyte.generation.call_keywords import CallOptions
from halfbyte.generation.checked_values import ids, real, strings, whole
from halfbyte.generation.sampling import sampler_options as more
from halfbyte.lazy_dataclass import dataclass

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How to choose the next token, and when to stop. Checked when made.

    Attributes:
        max_tokens: most tokens to generate, from 0, which has the prompt processed alone.
        temperature: divides the logits; 0 takes the most likely token (lowest id on ties).
        top_k: keep the k most likely tokens; 0 keeps all.
        top_p: keep the fewest most likely tokens that together reach this probability;
            1 keeps all, 0 one.
        min_p: keep tokens at least this fraction as likely as the most likely one; 0 keeps all.
        repetition_penalty: above 1 makes every token of prompt and answer less likely, as
            CTRL has it; 1 does nothing; from 0.01 to 100.
        presence_penalty: subtracted from the logit of each token generated so far, from -2 to 2.
        frequency_penalty: the same, times how often it was generated, from -2 to 2.
        penalty_window: of how many of the last tokens, of prompt and answer, all three penalties
            look; 0 for none, None for the whole, where presence and frequency count the answer.
        top_n_sigma, typical_p, xtc_probability, xtc_threshold, top_h, epsilon_cutoff, eta_cutoff,
            dynatemp_range, dynatemp_exponent, dry_multiplier, dry_base, dry_allowed_length,
            dry_window, dry_sequence_breakers, mirostat, mirostat_tau, mirostat_eta,
            adaptive_target, adaptive_decay, samplers: see docs/sampling.md.
        seed: the same seed gives the same answer; None draws one, which the result tells. Of a list
            of prompts, prompt i gets the answer that it gets alone with `seed + i`; of several
            candidates, the first one does, and the others tell seeds of their own.
        stop: text at which to stop, left out of the answer; a single string counts as one.
        stop_tokens: ids at which to stop, besides the model's own end tokens.

    Raises:
        RequestError: a value of the wrong type or out of range; `param` names it.
    """

    max_tokens: int = 128
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    penalty_window: int | None = None
    top_n_sigma: float = 0.0
    typical_p: float = 1.0
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    top_h: float = 1.0
    epsilon_cutoff: float = 0.0
    eta_cutoff: float = 0.0
    dynatemp_range: float = 0.0
    dynatemp_exponent: float = 1.0
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_window: int | None = 64
    dry_sequence_breakers: tuple[str, ...] = ("\n", ":", '"', "*")
    mirostat: int = 0
    mirostat_tau: float = 5.0
    mirostat_eta: float = 0.1
    adaptive_target: float | None = None
    adaptive_decay: float = 0.9
    samplers: tuple[str, ...] | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    stop_tokens: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        def check(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        for name in ("max_tokens", "top_k"):
            check(name, whole(name, getattr(self, name)))
        for name, (low, high) in _RANGES.items():
            check(name, real(name, getattr(self, name), low, high))
        if self.seed is not None:
            check("seed", whole("seed", self.seed))
        for name in ("penalty_window", "dry_window"):
            if getattr(self, name) is not None:
                check(name, whole(name, getattr(self, name), "a whole number from 0, or None"))
        check("dry_allowed_length", whole("dry_allowed_length", self.dry_allowed_length, low=1))
        if not is_whole(self.mirostat) or self.mirostat not in (0, 1, 2):
            raise RequestError("mirostat", expected="0, 1 or 2", got=literal(self.mirostat))
        check("mirostat", int(self.mirostat))
        if self.adaptive_target is not None:
            check("adaptive_target", real("adaptive_target", self.adaptive_target, 0.0, 1.0))
        if self.samplers is not None:
            check("samplers", more.sampler_names(self.samplers))
        check("dry_sequence_breakers", _breakers(self.dry_sequence_breakers))
        check("stop", strings("stop", self.stop))
        check("stop_tokens", ids("stop_tokens", self.stop_tokens))

    @classmethod
    def from_kwargs(cls, **kwargs: object) -> SamplingParams:
        """The parameters with these values, the rest at their defaults; says what has no effect.

        Raises:
            RequestError: an unknown name (the nearest valid one is in the hint), or a bad value.
        """
        made = cls.quietly(**kwargs)
        for name, why in made.without_effect():
            log.warning("%s has no effect %s", name, why)
        return made

    @classmethod
    def quietly(cls, **kwargs: object) -> SamplingParams:
        """As from_kwargs, without a word about what has no effect."""
        known = [field.name for field in fields(cls)]
        for name in kwargs:
            if name not in known:
                known += [other for other in CallOptions.__annotations__ if other not in known]
                raise unknown_argument(name, known, _OTHERS, what="a sampling parameter")
        return cls(**kwargs)  # type: ignore[arg-type]  # __post_init__ checks every type

    def of_prompt(self, i: int) -> SamplingParams:
        """Those of prompt i of a list, whose seed is `seed + i`: equal prompts differ."""
        return self if self.seed is None else replace(self, seed=self.seed + i)

    def of_candidate(self, j: int) -> SamplingParams:
        """Those of candidate j of a prompt, drawn from a seed of its own; 0 has the prompt's."""
        if self.seed is None or not j:
            return self
        from hashlib import sha256  # where several are asked for

        digest = sha256(f"{self.seed} {j}".encode()).digest()
        return replace(self, seed=int.from_bytes(digest[:6], "little"))

    def seeded(self) -> SamplingParams:
        """The same, with a seed drawn if one is needed and none was given."""
        if self.is_greedy or self.seed is not None:
            return self
        return replace(self, seed=int.from_bytes(os.urandom(4), "little"))

    @property
    def is_greedy(self) -> bool:
        """Whether the most likely token is taken, so that no random numbers are drawn."""
        return self.temperature == 0.0

    @property
    def has_penalties(self) -> bool:
        """Whether the choice depends on the tokens so far, beyond the model."""
        penalties = self.repetition_penalty, self.presence_penalty, self.frequency_penalty
        return penalties != (1.0, 0.0, 0.0)

    @property
    def order(self) -> tuple[str, ...]:
        """The samplers that are applied, in their order."""
        if self.is_greedy:
            return self._greedy_order
        if self.mirostat:
            return ("temperature",)
        return more.SAMPLERS if self.samplers is None else self.samplers

    @property
    def _greedy_order(self) -> tuple[str, ...]:
        """Those that may change which token is the most likely one, and draw nothing."""
        given = self.samplers or ()
        if more.INFILL not in given:
            return ("penalties", "dry")
        return tuple(name for name in given if name not in ("temperature", "xtc", "adaptive_p"))

    @property
    def needs_chain(self) -> bool:
        """Whether anything is asked for that the plain sampler does not do."""
        if more.INFILL in (self.samplers or ()):
            return True
        chained = [*_CHAINED, "samplers"] if not self.is_greedy else _CHAINED_IF_GREEDY
        return any(getattr(self, name) != _DEFAULTS[name] for name in chained)

    def without_effect(self) -> list[tuple[str, str]]:
        """What was set and does nothing, and why."""
        given = [name for name in _DEFAULTS if getattr(self, name) != _DEFAULTS[name]]
        if self.is_greedy:
            used = {name for sampler in self.order for name in more.OF_SAMPLER.get(sampler, ())}
            used |= {"samplers"} if more.INFILL in self.order else set()
            unused = [name for name in given if name in _OF_A_DRAW and name not in used]
            idle = [(name, "at temperature 0") for name in unused]
        else:
            idle = [(name, why) for name, why in self._unused().items() if name in given]
        for first, *others in (*more.OF_SAMPLER.values(), more.OF_MIROSTAT):
            if first not in given and first not in _PENALTIES:
                idle += [(name, f"without {first}") for name in others if name in given]
        if self.penalty_window is not None and not self.has_penalties:
            idle.append(("penalty_window", "without a penalty"))
        return list(dict(reversed(idle)).items())[::-1]  # the first reason for each

    def _unused(self) -> dict[str, str]:
        """The parameters of samplers that are not applied, and why."""
        why = "with mirostat" if self.mirostat else "as samplers leaves it out"
        left_out = [sampler for sampler in more.OF_SAMPLER if sampler not in self.order]
        unused = {name: why for sampler in left_out for name in more.OF_SAMPLER[sampler]}
        if "temperature" in left_out and self.temperature != 1.0:
            unused["temperature"] = why
        if self.mirostat:
            unused |= dict.fromkeys(("samplers", "dynatemp_range", "dynatemp_exponent"), why)
        return unused


_DEFAULTS = {field.name: field.default for field in fields(SamplingParams)}
_PENALTIES = more.OF_SAMPLER["penalties"]
_CHAINED_IF_GREEDY = ("penalty_window", "dry_multiplier")
_CHAINED = (
    *_CHAINED_IF_GREEDY, "top_n_sigma", "typical_p", "xtc_probability", "dynatemp_range",
    "top_h", "epsilon_cutoff", "eta_cutoff", "mirostat", "adaptive_target",
)  # fmt: skip
_OF_A_DRAW = {
    *(name for names in more.OF_SAMPLER.values() for name in names), *more.OF_MIROSTAT,
    "samplers", "seed",
} - {*more.AT_ANY_TEMPERATURE}  # fmt: skip
# Names that other programs have, and what to do here.
_OTHERS = {
    **dict.fromkeys(("max_new_tokens", "n_predict", "num_predict"), "it is max_tokens here"),
    **dict.fromkeys(("max_length", "max_completion_tokens"), "it is max_tokens here"),
    "temp": "it is temperature here",
    "repeat_penalty": "it is repetition_penalty here",
    **dict.fromkeys(("repeat_last_n", "penalty_last_n"), "it is penalty_window here"),
    "dry_penalty_last_n": "it is dry_window here",
    **dict.fromkeys(("typ_p", "typical"), "it is typical_p here"),
    "mirostat_mode": "it is mirostat here",
    "mirostat_ent": "it is mirostat_tau here",
    "mirostat_lr": "it is mirostat_eta here",
    "dynamic_temperature": "it is dynatemp_range here",
    "bad_words_ids": "it is bad_words here",
    "min_new_tokens": "it is min_tokens here",
    "suppress_tokens": "in logit_bias, -inf forbids a token",
    "ignore_eos": "min_tokens as large as max_tokens, or end tokens at -inf in logit_bias",
    **dict.fromkeys(("stop_strings", "stop_sequences"), "it is stop here"),
    **dict.fromkeys(("stop_token_ids", "eos_token_id"), "it is stop_tokens here"),
    "do_sample": "a temperature above 0 samples",
    **dict.fromkeys(("num_return_sequences", "num_candidates"), "it is n here"),
    **dict.fromkeys(("predictions", "draft"), "it is prediction here"),
    **dict.fromkeys(("lookups", "prompt_lookup_num_tokens"), "texts to look into are lookup here"),
    **dict.fromkeys(("lora", "lora_request", "adapters", "adapter_name"), "it is adapter here"),
    "stream": "use the method stream, stream_infill or stream_chat",
    **dict.fromkeys(("tools", "tool_choice", "parallel_tool_calls", "thinking"), "chat takes it"),
    "functions": "it is tools here",
    "syntax": "complete and infill take it",
    "truncate": "complete takes it",
    **dict.fromkeys(("enable_thinking", "think"), "it is thinking here"),
    **dict.fromkeys(("thinking_budget", "thinking_budget_tokens"), "it is reasoning_budget here"),
    **dict.fromkeys(("ctx", "n_ctx"), "halfbyte.load takes ctx"),
    **dict.fromkeys(("attention_window", "attention_sinks"), "halfbyte.load takes it"),
    **dict.fromkeys(("response_format", "guided_json", "schema"), "it is json_schema here"),
    **dict.fromkeys(("guided_regex", "pattern"), "it is regex here"),
    **dict.fromkeys(("guided_grammar", "gbnf"), "it is grammar here"),
    "guided_choice": "it is choices here",
    **dict.fromkeys(("logits_processors", "logit_processor"), "it is logits_processor here"),
    **dict.fromkeys(("threads", "n_threads"), "halfbyte.load takes threads"),
}
_RANGES: dict[str, tuple[float, float]] = {
    "temperature": (0.0, math.inf),
    "top_p": (0.0, 1.0),
    "min_p": (0.0, 1.0),
    "repetition_penalty": (0.01, 100.0),
    "presence_penalty": (-2.0, 2.0),
    "frequency_penalty": (-2.0, 2.0),
    **more.RANGES,
}


def _breakers(value: object) -> tuple[str, ...]:
    name, texts = "dry_sequence_breakers", strings("dry_sequence_breakers", value)
    if len(texts) > more.MAX_BREAKERS or any(len(t) > more.MAX_BREAKER_LENGTH for t in texts):
        most = f"at most {more.MAX_BREAKERS} texts of {more.MAX_BREAKER_LENGTH} characters"
        got = f"{len(texts)}, the longest of {max(map(len, texts))}"
        raise RequestError(name, expected=most, got=got)
    return texts
