"""Beam search over one prompt: which branches to look at, told the log-probabilities behind them.

Nothing here runs a model. What comes is what transformers' `generate` gives.
Source: transformers 5, generation/utils.py, GenerationMixin._beam_search.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from halfbyte.generation.beams.beams import Beams
from halfbyte.generation.sampler import F64, top_k_indices
from halfbyte.lazy_dataclass import dataclass

Path = tuple[int, ...]
EndsText = Callable[[Path], bool]


@dataclass(frozen=True, slots=True)
class Branch:
    """Tokens behind the prompt, and the logarithm of their probability."""

    path: Path
    score: float


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A finished answer, or one that was cut.

    Attributes:
        tokens: behind the prompt; with the end token where there is one.
        score: the logarithm of their probability, divided by their number to the length penalty.
        is_ended: whether the last one ends it: it is an end token, or the text does.
    """

    tokens: Path
    score: float
    is_ended: bool


class Search(Protocol):
    """A search on its way.

    Attributes:
        wanted: behind which branches the next log-probabilities are wanted; none once it is over.
    """

    wanted: list[Path]

    def tell(self, log_probs: Sequence[F64]) -> None:
        """Take those of the next token behind each wanted branch, (V,) each."""

    def best(self) -> list[Hypothesis]:
        """What was found, the best first; before the end, what there is."""


class BeamSearch:
    """A search with beams in one group.

    Args:
        asked: how to search.
        n_max: most tokens of an answer.
        end_ids: tokens that end one.
        ends_text: whether a branch ends by what it says.
    """

    def __init__(
        self, asked: Beams, n_max: int, end_ids: frozenset[int], ends_text: EndsText | None = None
    ) -> None:
        self.wanted: list[Path] = [()]
        self._asked, self._n_max, self._end_ids = asked, n_max, end_ids
        self._ends_text = ends_text or never
        self._running = [Branch((), 0.0)]
        self._finished: list[Hypothesis] = []

    def tell(self, log_probs: Sequence[F64]) -> None:
        """See Search."""
        n = self._asked.num_beams
        found = continuations(self._running, log_probs, n * (1 + max(len(self._end_ids), 1)))
        length = len(self._running[0].path) + 1
        is_last = length >= self._n_max
        going: list[Branch] = []
        for rank, branch in enumerate(found):
            is_ended = self._ends_text(branch.path) or branch.path[-1] in self._end_ids
            if not (is_ended or is_last):
                going.append(branch)
            elif rank < n:  # those beyond are there to go on with, not to end
                self._finished.append(self._hypothesis(branch, is_ended))
        self._running = going[:n]
        self._finished = sorted(self._finished, key=lambda one: -one.score)[:n]
        is_over = not self._running or not self._may_improve(length)
        self.wanted = [] if is_over else [branch.path for branch in self._running]

    def best(self) -> list[Hypothesis]:
        """See Search."""
        if not self.wanted:
            return self._finished
        cut = [self._hypothesis(branch, False) for branch in self._running if branch.path]
        return sorted([*self._finished, *cut], key=lambda one: -one.score)

    def _may_improve(self, length: int) -> bool:
        """Whether a running branch may still become one of the best, as `early_stopping` asks."""
        asked = self._asked
        if len(self._finished) < asked.num_beams:
            return True
        if asked.early_stopping is True:
            return False
        if asked.early_stopping == "never" and asked.length_penalty > 0:
            length = self._n_max
        best = self._running[0].score / length**asked.length_penalty
        return best > self._finished[-1].score

    def _hypothesis(self, branch: Branch, is_ended: bool) -> Hypothesis:
        score = branch.score / len(branch.path) ** self._asked.length_penalty
        return Hypothesis(branch.path, score, is_ended)


def never(path: Path) -> bool:
    """Of searches in which no text ends an answer."""
    return False


def continuations(running: Sequence[Branch], log_probs: Sequence[F64], n: int) -> list[Branch]:
    """The n likeliest branches that are one token longer, the likeliest first.

    Those that are impossible are left out; of equals the first branch and lowest token comes first.
    """
    scores = np.concatenate(
        [branch.score + row for branch, row in zip(running, log_probs, strict=True)]
    )
    n_vocab = len(log_probs[0])
    best = top_k_indices(scores, n)
    best = best[np.argsort(-scores[best], kind="stable")]
    return [
        Branch((*running[at // n_vocab].path, int(at % n_vocab)), float(scores[at]))
        for at in best
        if scores[at] > -np.inf
    ]
