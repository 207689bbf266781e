"""What a caller may ask of the sampler: every parameter, its default and its range.

The defaults live here and nowhere else. Apart from NumPy, so that the command line can show its
help without importing it; sampler.py has the arithmetic.
"""

from __future__ import annotations

import logging
import math
import numbers
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypedDict

from halfbyte.call_arguments import is_whole, unknown_argument
from halfbyte.errors import RequestError

log = logging.getLogger(__name__)


class SamplingOptions(TypedDict, total=False):
    """What a caller may write as keywords, for editors and type checkers; see SamplingParams."""

    max_tokens: int
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repetition_penalty: float
    presence_penalty: float
    frequency_penalty: float
    seed: int | None
    stop: str | Collection[str]
    stop_tokens: Collection[int]


class CallOptions(SamplingOptions, total=False):
    """And how a call is served (Terms), what its answer may repeat (docs/speculation.md), and what
    it has to be (docs/constraints.md).
    """

    timeout: float | None
    priority: float
    prediction: str | Sequence[int] | None
    lookup: str | Sequence[int] | Iterable[str | Sequence[int]] | None
    speculate: bool
    json_schema: Mapping[str, Any] | str | type | None
    regex: str | None
    grammar: str | None
    choices: Sequence[str] | None
    json_whitespace: bool
    logits_processor: Callable[..., Any] | Sequence[Callable[..., Any]] | None


class CompleteCallOptions(CallOptions, total=False):
    """And of `complete`: see Syntax."""

    syntax: Literal["python"] | None


class ChatCallOptions(CallOptions, total=False):
    """And of a chat: see prompt/tools/tools.py and prompt/thinking.py."""

    tools: Sequence[Mapping[str, Any]] | None
    tool_choice: str | Mapping[str, Any] | None
    thinking: bool | None
    reasoning_budget: int | None
    reasoning_closing: str


class MiddleOptions(TypedDict, total=False):
    """What a caller of `infill` may ask besides; see MiddleRules."""

    min_confidence: float | None
    confidence: bool
    trim_suffix: bool
    single_line: bool
    reuse_answer: bool
    syntax: Literal["python"] | None


class InfillCallOptions(CallOptions, MiddleOptions, total=False):
    """All keywords of `infill` that are not its own."""


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How to choose the next token, and when to stop. Checked when made.

    Attributes:
        max_tokens: most tokens to generate, from 0.
        temperature: divides the logits; 0 takes the most likely token (lowest id on ties).
        top_k: keep the k most likely tokens; 0 keeps all.
        top_p: keep the fewest most likely tokens that together reach this probability;
            1 keeps all, 0 one.
        min_p: keep tokens at least this fraction as likely as the most likely one; 0 keeps all.
        repetition_penalty: above 1 makes every token of prompt and answer less likely, as
            CTRL has it; 1 does nothing; from 0.01 to 100.
        presence_penalty: subtracted from the logit of each token generated so far, from -2 to 2.
        frequency_penalty: the same, times how often it was generated, from -2 to 2.
        seed: the same seed gives the same answer; None draws one, which the result tells. Of a list
            of prompts, prompt i gets the answer that it gets alone with `seed + i`.
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
    seed: int | None = None
    stop: tuple[str, ...] = ()
    stop_tokens: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        def check(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        for name in ("max_tokens", "top_k"):
            check(name, _whole(name, getattr(self, name)))
        for name, (low, high) in _RANGES.items():
            check(name, _real(name, getattr(self, name), low, high))
        if self.seed is not None:
            check("seed", _whole("seed", self.seed))
        check("stop", _strings("stop", self.stop))
        check("stop_tokens", _ids("stop_tokens", self.stop_tokens))

    @classmethod
    def from_kwargs(cls, **kwargs: object) -> SamplingParams:
        """The parameters with these values, the rest at their defaults; says what has no effect.

        Raises:
            RequestError: an unknown name (the nearest valid one is in the hint), or a bad value.
        """
        known = [field.name for field in fields(cls)]
        for name in kwargs:
            if name not in known:
                raise unknown_argument(name, known, _OTHERS, what="a sampling parameter")
        made = cls(**kwargs)  # type: ignore[arg-type]  # __post_init__ checks every type
        for name in made._without_effect():
            log.warning("%s has no effect at temperature 0", name)
        return made

    def of_prompt(self, i: int) -> SamplingParams:
        """Those of prompt i of a list, whose seed is `seed + i`: equal prompts differ."""
        return self if self.seed is None else replace(self, seed=self.seed + i)

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

    def _without_effect(self) -> list[str]:
        """What was set although the most likely token is taken anyway."""
        return [
            field.name
            for field in fields(self)
            if self.is_greedy and field.name in _OF_A_DRAW
            and getattr(self, field.name) != field.default
        ]  # fmt: skip


_OF_A_DRAW = ("top_k", "top_p", "min_p", "seed")
# Names that other programs have, and what to do here.
_OTHERS = {
    **dict.fromkeys(("max_new_tokens", "n_predict", "num_predict", "n"), "it is max_tokens here"),
    **dict.fromkeys(("max_length", "max_completion_tokens"), "it is max_tokens here"),
    "temp": "it is temperature here",
    "repeat_penalty": "it is repetition_penalty here",
    **dict.fromkeys(("stop_strings", "stop_sequences"), "it is stop here"),
    **dict.fromkeys(("stop_token_ids", "eos_token_id"), "it is stop_tokens here"),
    "do_sample": "a temperature above 0 samples",
    "num_return_sequences": "give the prompt that many times, in a list",
    **dict.fromkeys(("predictions", "draft"), "it is prediction here"),
    **dict.fromkeys(("lookups", "prompt_lookup_num_tokens"), "texts to look into are lookup here"),
    "stream": "use the method stream, stream_infill or stream_chat",
    **dict.fromkeys(("tools", "tool_choice", "thinking"), "chat takes it"),
    "functions": "it is tools here",
    "syntax": "complete and infill take it",
    **dict.fromkeys(("enable_thinking", "think"), "it is thinking here"),
    **dict.fromkeys(("thinking_budget", "thinking_budget_tokens"), "it is reasoning_budget here"),
    **dict.fromkeys(("ctx", "n_ctx"), "halfbyte.load takes ctx"),
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
}


def _whole(name: str, value: object, what: str = "a whole number from 0") -> int:
    if not is_whole(value) or value < 0:
        raise RequestError(name, expected=what, got=repr(value))
    return int(value)


def _real(name: str, value: object, low: float, high: float) -> float:
    expected = f"a number from {low:g}" + (f" to {high:g}" if high < math.inf else "")
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise RequestError(name, expected=expected, got=repr(value))
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or not low <= number <= high:
        raise RequestError(name, expected=expected, got=repr(value))
    return number


def _strings(name: str, value: object) -> tuple[str, ...]:
    one = isinstance(value, str)
    items = (value,) if one else _items(name, value, "a string or list of strings")
    for item in items:
        if not isinstance(item, str) or not item:
            raise RequestError(name, expected="strings that are not empty", got=repr(item))
    return tuple(str(item) for item in items)


def _ids(name: str, value: object) -> tuple[int, ...]:
    items = _items(name, value, "a list of token ids")
    return tuple(_whole(name, item, "token ids, whole numbers from 0") for item in items)


def _items(name: str, value: object, expected: str) -> tuple[object, ...]:
    if isinstance(value, (str, bytes, bytearray, Mapping)) or not isinstance(value, Collection):
        raise RequestError(name, expected=expected, got=repr(value))
    try:
        return tuple(value)
    except TypeError as error:  # an array without dimensions
        raise RequestError(name, expected=expected, got=repr(value)) from error
