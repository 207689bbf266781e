"""What a generation gives: its text, its tokens, why it ended and what it cost."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Literal

from halfbyte.generation.probabilities import TokenLogprob
from halfbyte.lazy_dataclass import dataclass
from halfbyte.results import Result, shown

FinishReason = Literal[
    "stop", "length", "context", "timeout", "confidence", "time", "banned", "tool_calls", "syntax"
]
Order = Literal["psm", "spm"]


@dataclass(frozen=True, slots=True)
class Stats(Result):
    """What a completion cost. Seconds are wall time; rates are tokens per second.

    In a list of prompts, `decode_s` is the time in which the sequences were decoded together.

    Attributes:
        n_prompt: the prompt's tokens.
        prefill_s: from the first step to the first token.
        n_decode: tokens after the first one.
        decode_s: from the first token to the last.
        n_reused: tokens of the prompt that were remembered (docs/caches.md).
        mismatch: where the prompt left a remembered one only to come back; mostly empty.
        n_drafted, n_accepted: tokens that were guessed and verified, and those of them that were
            right (docs/speculation.md).
    """

    n_prompt: int
    prefill_s: float
    n_decode: int
    decode_s: float
    n_reused: int = 0
    mismatch: str = ""
    n_drafted: int = 0
    n_accepted: int = 0

    @property
    def prefill_tps(self) -> float:
        """Prompt tokens per second, those that were known left out."""
        n = self.n_prompt - self.n_reused
        return n / self.prefill_s if self.prefill_s > 0 else 0.0

    @property
    def decode_tps(self) -> float:
        """Generated tokens per second, the first one, which prefill gives, left out."""
        return self.n_decode / self.decode_s if self.decode_s > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Completion(Result):
    """A prompt's continuation.

    Attributes:
        text: exactly what follows the prompt, a leading space kept.
        tokens: the generated ids; an end token or a stop token at the end is left out. With
            healing the first ones spell `healed` before the text.
        finish_reason: "stop" (an end token, a stop token or a stop string), "length" (max_tokens),
            "context" (the context is full), "confidence" (the first token is less likely than
            min_confidence), "time" (max_time), "banned" (banned strings came again and again),
            "tool_calls" (see ChatCompletion), "syntax" (it does not parse, and will not) or, within
            a RequestTimeoutError, "timeout".
        stats: what it cost.
        healed: the prompt's end that was taken back and generated again; mostly empty.
        seed: with it the same call gives the same answer; None where nothing was drawn.
        score: by which it was chosen among others (docs/candidates.md); None where it was not.
        logprobs: of each of `tokens`; None where they are not asked for (docs/probabilities.md).
        prompt_logprobs: of each of the prompt's tokens, those that were taken back left out.
        stop_text: which of the call's `stop` texts ended it; empty where none did.
        is_complete: whether `text` is all that the call's `json_schema`, `regex`, `grammar` or
            `choices` asks for; where it is not, the answer was cut. None where nothing was asked.
    """

    text: str
    tokens: list[int]
    finish_reason: FinishReason
    stats: Stats
    healed: str = ""
    seed: int | None = None
    score: float | None = None
    logprobs: list[TokenLogprob] | None = None
    prompt_logprobs: list[TokenLogprob] | None = None
    is_complete: bool | None = None
    stop_text: str = ""

    def check_calls(self) -> None:
        """See ChatCompletion, whose calls may not be readable."""

    def __repr__(self) -> str:
        facts = f"finish_reason={self.finish_reason!r}, {len(self.tokens)} tokens"
        speed = f", {self.stats.decode_tps:.1f} tok/s" if self.stats.decode_s > 0 else ""
        return f"{type(self).__name__}({shown(self.text)}, {facts}{speed})"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Infilling(Completion):
    """What belongs between a prefix and a suffix; `text` is this middle, its spaces kept.

    Attributes:
        prefix, suffix: as they were given.
        order: "psm" (the prompt had the prefix first) or "spm" (the suffix first).
        n_prefix_dropped, n_suffix_dropped: characters at the far ends of the two that the model
            was not shown, since there was no room.
        files_dropped: names of the repository's files that it was not shown.
        trimmed: what the answer's end repeated of the suffix, cut from `text`.
        first_token_probability, mean_probability: of the model alone, at temperature 1, before
            anything is filtered; the mean is the geometric one. None where they are not asked for
            (`confidence`, `min_confidence`). What a healed prompt's end left open counts as a
            token, with its share of all that was possible.
        n_typed: characters of an earlier answer that were typed since it was given; above 0, this
            is the rest of that answer, without a step, and the probabilities are that answer's.
    """

    prefix: str
    suffix: str
    order: Order
    n_prefix_dropped: int = 0
    n_suffix_dropped: int = 0
    files_dropped: tuple[str, ...] = ()
    trimmed: str = ""
    first_token_probability: float | None = None
    mean_probability: float | None = None
    n_typed: int = 0

    @classmethod
    def of(cls, done: Completion, **asked: Any) -> Infilling:
        """The result of the generation `done`, with what was asked for."""
        values = {field.name: getattr(done, field.name) for field in fields(done)}
        return cls(**values, **asked)

    @property
    def full_text(self) -> str:
        """Prefix, middle and suffix, joined."""
        return self.prefix + self.text + self.suffix
