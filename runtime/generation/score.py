"""How likely given tokens are: results, and the request that finds out."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from halfbyte.generation.request import Request
from halfbyte.generation.sampler import F32, likeliest, log_softmax
from halfbyte.lazy_dataclass import dataclass
from halfbyte.results import Result


@dataclass(frozen=True, slots=True)
class Score(Result):
    """How likely a continuation is after its prompt, in natural logarithms.

    Attributes:
        tokens: the ids that were scored: the continuation's, and those of the prompt's end that
            are other ones with what follows (docs/probabilities.md).
        logprobs: each token's, after all before it, at temperature 1.
        n_bytes: of the text that the tokens spell.
        is_greedy: whether each token is the likeliest in its place.
    """

    tokens: list[int]
    logprobs: list[float]
    n_bytes: int
    is_greedy: bool

    @property
    def logprob(self) -> float:
        """The whole continuation's: the sum."""
        return math.fsum(self.logprobs)

    @property
    def per_token(self) -> float:
        """The mean of a token."""
        return self.logprob / len(self.tokens)

    @property
    def per_byte(self) -> float:
        """The mean of a byte, which is the same whatever the tokens; NaN where there is none."""
        return self.logprob / self.n_bytes if self.n_bytes else math.nan


@dataclass(frozen=True, slots=True)
class Perplexity(Result):
    """How well a model predicts a text, as llama.cpp counts it.

    Attributes:
        value: e to the mean loss of a token.
        standard_error: of the value.
        n_tokens: that count: of each window those after its first half.
        n_windows, window: how many windows there were, and how many tokens long.
    """

    value: float
    standard_error: float
    n_tokens: int
    n_windows: int
    window: int

    @classmethod
    def of(cls, losses: NDArray[np.float64], n_windows: int, window: int) -> Perplexity:
        """From the losses of the tokens that count, in nats."""
        mean, n = float(losses.mean()), losses.size
        variance = max(float((losses**2).mean()) - mean**2, 0.0)
        value = math.exp(mean)
        error = value * math.sqrt(variance / (n - 1)) if n > 1 else 0.0
        return cls(value, error, n, n_windows, window)


class ScoreRequest(Request):
    """The log-probabilities of ids after the first n_given ones, which may be remembered.

    Attributes:
        logprobs: of each, as far as they have come.
        is_greedy: whether each was the likeliest so far.
    """

    def __init__(self, ids: Sequence[int], n_given: int) -> None:
        super().__init__(ids[:-1])  # nothing is asked behind the last one
        self.scored = list(ids[n_given:])
        self.logprobs: list[float] = []
        self.is_greedy = True
        self._n_given = n_given

    @property
    def recallable(self) -> list[int]:
        """As far as no row is wanted before the last."""
        return self.ids[: self._n_given + len(self.logprobs)]

    def _n_out(self, begin: int, end: int) -> int:
        return max(end - max(begin, self._n_given - 1 + len(self.logprobs)), 0)

    def take(self, logits: F32) -> None:
        """Look the next tokens up."""
        for row, token in zip(logits, self.scored[len(self.logprobs) :], strict=False):
            self.logprobs.append(float(log_softmax(row)[token]))
            self.is_greedy = self.is_greedy and likeliest(row) == token
        if len(self.logprobs) == len(self.scored):
            self.finish_reason = "length"
