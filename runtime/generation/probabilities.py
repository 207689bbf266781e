"""How likely the tokens of a prompt and its answer were: what a caller asks, and what it gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from halfbyte.call_arguments import check_choice, check_flag, is_whole, literal
from halfbyte.errors import RequestError
from halfbyte.lazy_dataclass import dataclass
from halfbyte.results import Result

MAX_TOP = 256  # likeliest tokens that are told of each
_NAMES = ("logprobs", "logprobs_of", "prompt_logprobs", "echo")


@dataclass(frozen=True, slots=True)
class TopToken(Result):
    """One of the likeliest tokens.

    Attributes:
        token: its id.
        bytes: what it spells; nothing for control tokens.
        logprob: the natural logarithm of its probability.
    """

    token: int
    bytes: bytes
    logprob: float


@dataclass(frozen=True, slots=True)
class TokenLogprob(Result):
    """A token of a prompt or an answer.

    Attributes:
        token: its id.
        bytes: what it spells; nothing for control tokens.
        offset: where that begins in the result's text, in characters; of bytes within a character,
            where the character does. Tokens that spell the prompt's end again lie before 0.
        logprob: the natural logarithm of its probability, after all that stands before it; None
            for a prompt's first token.
        top: the likeliest tokens in its place, the likeliest first; of equals the lowest id.
    """

    token: int
    bytes: bytes
    offset: int
    logprob: float | None
    top: tuple[TopToken, ...] = ()


@dataclass(frozen=True, slots=True)
class Probabilities:
    """Checked when made; see docs/probabilities.md.

    Attributes:
        logprobs: tell each token's, and those of so many likeliest ones, from 0; None tells none.
        logprobs_of: "model": at temperature 1, before rules, penalties and filters; "sampler":
            those by which the token was drawn, after all of these.
        prompt_logprobs: the same for the prompt's tokens, always the model's.
        echo: whether text, tokens and log-probabilities begin with the prompt's.

    Raises:
        RequestError: a value of the wrong type or out of range; `param` names it.
    """

    logprobs: int | None = None
    logprobs_of: str = "model"
    prompt_logprobs: int | None = None
    echo: bool = False

    @classmethod
    def split(cls, options: Mapping[str, Any]) -> tuple[Probabilities, dict[str, Any]]:
        """What is asked of them among a call's options, and the other options."""
        rest = dict(options)
        return cls(**{name: rest.pop(name) for name in _NAMES if name in rest}), rest

    def __post_init__(self) -> None:
        for name in ("logprobs", "prompt_logprobs"):
            value: object = getattr(self, name)
            if value is not None:
                if not is_whole(value) or not 0 <= value <= MAX_TOP:
                    expected = f"a whole number from 0 to {MAX_TOP}, or None"
                    raise RequestError(name, expected=expected, got=literal(value))
                object.__setattr__(self, name, int(value))
        check_choice("logprobs_of", self.logprobs_of, ("model", "sampler"))
        object.__setattr__(self, "echo", check_flag("echo", self.echo))
        if self.echo and self.prompt_logprobs is None:
            object.__setattr__(self, "prompt_logprobs", self.logprobs)

    @property
    def are_wanted(self) -> bool:
        """Whether any are."""
        return self.logprobs is not None or self.prompt_logprobs is not None

    def check_no_echo(self) -> None:
        """RequestError where a prompt is to be echoed that is more than a text."""
        if self.echo:
            raise RequestError(
                "echo", expected="False: only what `complete` and `stream` are given is a text",
                got=True,
            )  # fmt: skip
