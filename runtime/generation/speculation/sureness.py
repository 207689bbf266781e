"""How often a draft model's guesses are right, by how sure it was of them."""

from __future__ import annotations

_N_CLASSES = 10  # of its own probability
_WEIGHT = 0.1  # of the newest guess, for the request that it was made for
_WEIGHT_FOR_OTHERS = 0.02
_FIRST_MEAN = 0.7  # more than most turn out to be, so that it is tried


class Sureness:
    """The chance that a guess is right, as it was lately.

    Args:
        others: what was learned from other requests, from which this one begins; it learns too.

    Attributes:
        mean: of all guesses whose predecessors were right.
    """

    def __init__(self, others: Sureness | None = None) -> None:
        self._others = others
        self._weight = _WEIGHT if others else _WEIGHT_FOR_OTHERS
        self.mean: float = others.mean if others else _FIRST_MEAN
        # As long as nothing is known, the draft model is believed.
        self._rates: list[float] = (
            list(others._rates) if others else [(i + 0.5) / _N_CLASSES for i in range(_N_CLASSES)]
        )

    def learn(self, probability: float, is_hit: bool) -> None:
        """A guess of which the draft model was so sure was right or wrong."""
        at = _class_of(probability)
        self._rates[at] += self._weight * (is_hit - self._rates[at])
        self.mean += self._weight * (is_hit - self.mean)
        if self._others is not None:
            self._others.learn(probability, is_hit)

    def chance(self, probability: float) -> float:
        """That such a guess is right, if those before it are."""
        return self._rates[_class_of(probability)]


def _class_of(probability: float) -> int:
    return min(int(probability * _N_CLASSES), _N_CLASSES - 1)
