"""How often guesses are right, by what they come from and how much was alike before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

Kind = Literal["prediction", "context", "lookup", "pool"]
# Ids alike before a guess -> its class; more are the last class.
_CLASSES = (0, 1, 2, 3, 4, 5, 5, 6, 6, *[7] * 8, *[8] * 16, 9)
# The chance in each class, as long as nothing is known.
_FIRST: dict[Kind, tuple[float, ...]] = {
    "prediction": (0.4, 0.5, 0.6, 0.7, 0.85, 0.9, 0.92, 0.95, 0.97, 0.98),
    "context": (0.1, 0.1, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95),
    "lookup": (0.1, 0.1, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95),
    "pool": (0.1, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
}
_WEIGHT = 0.1  # of the newest guess, for the request that it was made for
_WEIGHT_FOR_OTHERS = 0.02


class HitRates:
    """The chance that a guess is right, as it was lately.

    Args:
        others: what was learned from other requests, from which this one begins; it learns too.
    """

    def __init__(self, others: HitRates | None = None) -> None:
        self._others = others
        self._weight = _WEIGHT if others else _WEIGHT_FOR_OTHERS
        first: Mapping[Kind, Sequence[float]] = others._rates if others else _FIRST
        self._rates: dict[Kind, list[float]] = {kind: list(rates) for kind, rates in first.items()}

    def learn(self, kind: Kind, length: int, is_hit: bool) -> None:
        """A guess after so many ids alike was right or wrong."""
        rates, at = self._rates[kind], _CLASSES[min(length, len(_CLASSES) - 1)]
        rates[at] += self._weight * (is_hit - rates[at])
        if self._others is not None:
            self._others.learn(kind, length, is_hit)

    def chances(self, kind: Kind, length: int, n: int) -> list[float]:
        """For n guesses in a row, the chance of each if those before it are right."""
        rates, last = self._rates[kind], len(_CLASSES) - 1
        return [rates[_CLASSES[min(i, last)]] for i in range(length, length + n)]
