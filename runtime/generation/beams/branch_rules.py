"""The rules of a search's branches: each branch's go on from those of the one that it grew from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from halfbyte.generation.beams.beam_search import Path
from halfbyte.generation.rules.rule import ForkingRule


class BranchRules:
    """Those of one search, whose branches grow by a token each in a round.

    So a round costs the same however long the answers are.

    Args:
        make: makes the rules of an answer of which nothing has come.
    """

    def __init__(self, make: Callable[[], Sequence[ForkingRule]]) -> None:
        self._make = make
        self._length = 0  # of the newest
        self._newest: dict[Path, list[ForkingRule]] = {}
        self._parents: dict[Path, list[ForkingRule]] = {}

    def behind(self, path: Path) -> Sequence[ForkingRule]:
        """Those that say what may follow a branch; the same ones until it grows.

        Raises:
            HalfbyteError: a rule cannot follow it.
        """
        if len(path) != self._length:
            self._length, self._parents, self._newest = len(path), self._newest, {}
        if path not in self._newest:
            parents = self._parents.get(path[:-1]) if path else None
            rules = list(self._make()) if parents is None else [rule.fork() for rule in parents]
            for token in path if parents is None else path[-1:]:
                for rule in rules:
                    rule.accept(token)
            self._newest[path] = rules
        return self._newest[path]
