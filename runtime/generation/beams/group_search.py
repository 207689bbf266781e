"""Beam search in groups, each of which avoids what those before it say.

Source: transformers 4.55, generation/utils.py, GenerationMixin._group_beam_search, and
beam_search.py; Vijayakumar et al., "Diverse Beam Search" (2016).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from halfbyte.generation.beams.beam_search import (
    Branch,
    EndsText,
    Hypothesis,
    Path,
    continuations,
    never,
)
from halfbyte.generation.beams.beams import Beams
from halfbyte.generation.sampler import F64


class GroupSearch:
    """A search with beams in several groups.

    Args:
        asked: how to search.
        n_max: most tokens of an answer.
        end_ids: tokens that end one.
        padding: the token that a group which is done says to those after it; transformers' own is
            the first end token.
        ends_text: whether a branch ends by what it says.
    """

    def __init__(
        self,
        asked: Beams,
        n_max: int,
        end_ids: frozenset[int],
        padding: int,
        ends_text: EndsText | None = None,
    ) -> None:
        self.wanted: list[Path] = [()]
        self._asked, self._n_max, self._padding = asked, n_max, padding
        self._groups = [
            _Group(asked, n_max, end_ids, ends_text or never) for _ in range(asked.num_beam_groups)
        ]

    def tell(self, log_probs: Sequence[F64]) -> None:
        """See Search."""
        rows = dict(zip(self.wanted, log_probs, strict=True))
        length = len(self.wanted[0]) + 1
        said: Counter[int] = Counter()
        for group in self._groups:
            if group.is_done:
                said[self._padding] += self._asked.group_size
                continue
            group.tell([self._diverse(rows[b.path], said) for b in group.running])
            said.update(branch.path[-1] for branch in group.running)
        is_last = length >= self._n_max
        open_groups = [group for group in self._groups if not group.is_done]
        if is_last:
            for group in open_groups:
                group.close()
        paths = dict.fromkeys(branch.path for group in open_groups for branch in group.running)
        self.wanted = [] if is_last else list(paths)

    def best(self) -> list[Hypothesis]:
        """See Search."""
        found = [one for group in self._groups for one in group.finished]
        if self.wanted:
            found += [one for group in self._groups if not group.is_done for one in group.cut()]
        return sorted(found, key=lambda one: one.score)[::-1]

    def _diverse(self, row: F64, said: Counter[int]) -> F64:
        if not said:
            return row
        row = row.copy()
        for token, n in said.items():
            row[token] -= self._asked.diversity_penalty * n
        return row


class _Group:
    """One group: its branches, and the best answers that it has finished."""

    def __init__(
        self, asked: Beams, n_max: int, end_ids: frozenset[int], ends_text: EndsText
    ) -> None:
        self.running = [Branch((), 0.0)]
        self.finished: list[Hypothesis] = []
        self.is_done = False
        self._asked, self._n_max, self._end_ids = asked, n_max, end_ids
        self._ends_text = ends_text

    def tell(self, log_probs: Sequence[F64]) -> None:
        size = self._asked.group_size
        found = continuations(self.running, log_probs, size * (1 + max(len(self._end_ids), 1)))
        going: list[Branch] = []
        for rank, branch in enumerate(found):
            if not (branch.path[-1] in self._end_ids or self._ends_text(branch.path)):
                going.append(branch)
            elif rank < size:
                self._finish(branch, is_ended=True)
            if len(going) == size:
                break
        self.running = going
        self.is_done = not going or self._is_settled(found[0])

    def close(self) -> None:
        """No more tokens come: what runs is finished."""
        for branch in self.running:
            self._finish(branch, is_ended=False)

    def cut(self) -> list[Hypothesis]:
        """What runs, as if it ended here."""
        return [self._hypothesis(branch, False) for branch in self.running if branch.path]

    def _finish(self, branch: Branch, *, is_ended: bool) -> None:
        new = self._hypothesis(branch, is_ended)
        if len(self.finished) >= self._asked.group_size:
            worst = min(self.finished, key=lambda one: one.score)
            if new.score <= worst.score:
                return
            self.finished.remove(worst)
        self.finished.append(new)

    def _is_settled(self, best: Branch) -> bool:
        """Whether no running branch can become one of the group's best, as far as one can say."""
        asked, length = self._asked, len(best.path)
        if len(self.finished) < asked.group_size:
            return False
        if asked.early_stopping is True:
            return True
        if asked.early_stopping == "never" and asked.length_penalty > 0:
            length = self._n_max
        worst = min(one.score for one in self.finished)
        return worst >= best.score / length**asked.length_penalty

    def _hypothesis(self, branch: Branch, is_ended: bool) -> Hypothesis:
        score = branch.score / len(branch.path) ** self._asked.length_penalty
        return Hypothesis(branch.path, score, is_ended)
