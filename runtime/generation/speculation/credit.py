"""What a request may still lose on guesses, so that a bad estimate costs little.

Counted in steps: a guess that was right has spared one, rows have cost a part of one. Estimates are
wrong at times, so that what is gained allows to try more, and what is lost less; at the beginning
there is a little, and with each step comes a little.
"""

from __future__ import annotations

_FIRST, _MOST = 1.5, 12.0
_PER_STEP = 0.005


class Credit:
    """Steps that may be lost.

    Attributes:
        n_steps: so many.
    """

    def __init__(self) -> None:
        self.n_steps = _FIRST
        self._n_accepted = 0

    def settle(self, n_accepted: int) -> None:
        """Another step is to come; so many guesses were right so far."""
        n_spared, self._n_accepted = n_accepted - self._n_accepted, n_accepted
        self.n_steps = min(self.n_steps + n_spared + _PER_STEP, _MOST)

    def pay(self, n_steps: float) -> None:
        """A draft costs so much."""
        self.n_steps = max(self.n_steps - n_steps, -_MOST)
