"""A step on its way to be guessed in: what it has so far, and what it may still take."""

from __future__ import annotations

from collections.abc import Sequence

from halfbyte.generation.speculation.step_costs import StepCosts
from halfbyte.lazy_dataclass import dataclass

GAIN = 1.03  # by how much a draft has to be faster to be tried: it costs more than its rows
# Rows of a step that are tried: of few each, then such as fill the kernels' tiles.
N_ROWS = (2, 3, 4, 5, 6, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64)


@dataclass(slots=True)
class Planned:
    """A step.

    Attributes:
        costs: seconds of steps by their rows.
        n_rows, n_tokens: what it has, and how many tokens it is expected to give.
        room: rows that it may have more.
        extra_s: seconds that guesses may still take.
        spent_s: seconds that they have taken already.
    """

    costs: StepCosts
    n_rows: int
    n_tokens: float
    room: int
    extra_s: float
    spent_s: float = 0.0

    @property
    def plain_s(self) -> float:
        """What it takes as it is."""
        return self.costs.seconds(self.n_rows)

    def more_s(self, n_rows: int) -> float:
        """What so many rows more take."""
        return self.costs.seconds(self.n_rows + n_rows) - self.plain_s

    def spend(self, seconds: float) -> None:
        """Guesses took so long to be made."""
        self.spent_s += seconds
        self.extra_s -= seconds

    def add(self, n_rows: int, n_tokens: float) -> None:
        """A draft is put in, of which so many tokens will be right."""
        self.extra_s -= self.more_s(n_rows)
        self.n_rows, self.n_tokens = self.n_rows + n_rows, self.n_tokens + n_tokens
        self.room -= n_rows

    def best_length(self, chances: Sequence[float], most_s: float) -> tuple[int, float]:
        """How many ids of a draft give most tokens a second, and how many of them will be right.

        Args:
            chances: of each, if those before it are right.
            most_s: seconds that they may take more.
        """
        limit_s = min(most_s, self.extra_s)
        best, best_rate = (0, 0.0), GAIN * self.n_tokens / (self.plain_s + self.spent_s)
        n_tokens, chance, counted = 0.0, 1.0, 0
        for n in self._lengths(min(len(chances), self.room)):
            for p in chances[counted:n]:
                chance *= p
                n_tokens += chance
            counted, more_s = n, self.more_s(n)
            rate = (self.n_tokens + n_tokens) / (self.plain_s + self.spent_s + more_s)
            if rate > best_rate and more_s <= limit_s:
                best, best_rate = (n, n_tokens), rate
        return best

    def _lengths(self, n_most: int) -> Sequence[int]:
        """Lengths of a draft, at most so long."""
        lengths = [n - self.n_rows for n in N_ROWS if 0 < n - self.n_rows < n_most]
        return [*lengths, n_most] if n_most > 0 else ()
