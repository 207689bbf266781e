"""How sure a model is of an answer: the raw probabilities of its tokens."""

from __future__ import annotations

import math

from halfbyte.generation.sampler import F32, log_softmax


class Confidence:
    """Probabilities at temperature 1, before penalties and filters, of the tokens chosen.

    A request has one only where it is asked for: it costs an exponential of each logit.

    Attributes:
        first: the first token's; None before there is one.
        is_ranking: whether its answer is compared with others by it.
    """

    def __init__(self, least: float = 0.0) -> None:
        """Of an answer that is not wanted where its first token is less likely than `least`."""
        self.first: float | None = None
        self.is_ranking = False
        self._least = least
        self._sums = [0.0]  # of logarithms, after each token

    @property
    def mean(self) -> float | None:
        """The geometric mean of all, that of the token that ended the answer included."""
        n = len(self._sums) - 1
        return math.exp(self._sums[-1] / n) if n else None

    @property
    def score(self) -> float | None:
        """The mean of the logarithms, -inf of no token; None where nothing is compared."""
        if not self.is_ranking:
            return None
        n = len(self._sums) - 1
        return self._sums[-1] / n if n else -math.inf

    @property
    def is_too_low(self) -> bool:
        """Whether the answer is not wanted."""
        return self.first is not None and self.first < self._least

    def take(self, logits: F32, token: int) -> None:
        """A token was chosen from logits; EngineError as `Sampler.sample`."""
        self.take_share(float(log_softmax(logits)[token]))

    def take_share(self, log_prob: float) -> None:
        """A token was chosen with this logarithm of its probability."""
        self._sums.append(self._sums[-1] + log_prob)
        if self.first is None:
            self.first = math.exp(log_prob)

    def rewind(self, n: int) -> None:
        """The last n tokens were taken back, or all."""
        del self._sums[max(len(self._sums) - n, 1) :]
        if len(self._sums) == 1:
            self.first = None
