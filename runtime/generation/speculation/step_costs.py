"""What a step costs, by the number of its rows, learned from the steps that were.

The kernels take rows in tiles, and a model's matrices, threads and memory decide what one more row
costs, so nothing is assumed but a beginning: as long as no step had so many rows, each row more is
taken to cost what a prompt's token does. That is too little, so that it is tried, and then known.
A token's experts may be others than those of the one before it, and have to be read then, while a
prompt's tokens share all there are: half of them are taken to be read for each row.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque

_N_KEPT = 7  # steps with so many rows, whose median counts
_FORGET = 100  # steps until the oldest of each is forgotten, in case it was a bad moment
_FIRST_SHARE = 0.1  # of a step, that a row more costs, if no prompt was seen
_OTHERS = 0.5  # of a row's experts, that are no other row's


class StepCosts:
    """Seconds of steps by their rows.

    Args:
        expert_share: how much of what a step of one row reads are experts.
    """

    def __init__(self, expert_share: float = 0.0) -> None:
        self._expert_share = _OTHERS * expert_share
        self._kept: dict[int, deque[float]] = {}
        self._known: list[int] = []  # the numbers of rows that are kept, ascending
        self._medians: dict[int, float] = {}
        self._row_s = 0.0
        self._n_learned = 0

    @property
    def is_known(self) -> bool:
        """Whether there was any step."""
        return bool(self._known)

    def learn(self, n_rows: int, seconds: float) -> None:
        """A step of answers has taken so long."""
        if n_rows not in self._kept:
            self._kept[n_rows] = deque(maxlen=_N_KEPT)
            insort(self._known, n_rows)
        self._kept[n_rows].append(seconds)
        self._medians.pop(n_rows, None)
        self._n_learned += 1
        if self._n_learned % _FORGET == 0:
            self._forget()

    def learn_prompt(self, n_tokens: int, seconds: float) -> None:
        """A step of prompts alone has."""
        self._row_s = seconds / n_tokens

    def seconds(self, n_rows: int) -> float:
        """What a step of so many rows takes: as known, or between those that are."""
        at = bisect_left(self._known, n_rows)
        above = self._known[at] if at < len(self._known) else None
        if above == n_rows or at == 0:
            return self._median(self._known[at])
        below = self._known[at - 1]
        low = self._median(below)
        if above is None:
            least = self._median(self._known[0])
            row_s = max(self._row_s or _FIRST_SHARE * least, self._expert_share * least)
            return low + (n_rows - below) * row_s
        high = self._median(above)
        return low + (high - low) * (n_rows - below) / (above - below)

    def _median(self, n_rows: int) -> float:
        if n_rows not in self._medians:
            kept = sorted(self._kept[n_rows])
            self._medians[n_rows] = kept[(len(kept) - 1) // 2]
        return self._medians[n_rows]

    def _forget(self) -> None:
        for n_rows in [n for n, kept in self._kept.items() if len(kept) > 1 or len(self._kept) > 1]:
            self._kept[n_rows].popleft()
            self._medians.pop(n_rows, None)
            if not self._kept[n_rows]:
                del self._kept[n_rows]
                self._known.remove(n_rows)
