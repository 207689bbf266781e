"""The texts of a search's branches as they grow: where one ends by what it says."""

from __future__ import annotations

from collections.abc import Callable

from halfbyte.generation.beams.beam_search import Path
from halfbyte.generation.shown_text import ShownText
from halfbyte.tokenizer.detokenizer import StreamDetokenizer


class BranchText:
    """One branch's.

    Attributes:
        is_over: whether it ends within its last token.
    """

    def __init__(self, spelling: StreamDetokenizer, shown: ShownText) -> None:
        self._spelling, self._shown = spelling, shown
        self.is_over = False

    def followed_by(self, token: int) -> BranchText:
        """The branch that goes on with a token."""
        made = BranchText(self._spelling.fork(), self._shown.fork())
        made.is_over = made._shown.push(made._spelling.push(token))
        return made


class BranchTexts:
    """Those of one search, whose branches grow by a token each in a round.

    Args:
        make: makes a text of which nothing has come.
    """

    def __init__(self, make: Callable[[], BranchText]) -> None:
        self._make = make
        self._length = 0  # of the newest
        self._newest: dict[Path, BranchText] = {}
        self._parents: dict[Path, BranchText] = {}

    def is_over(self, path: Path) -> bool:
        """Whether the text of a branch ends within its last token."""
        if len(path) != self._length:
            self._length, self._parents, self._newest = len(path), self._newest, {}
        if path not in self._newest:
            above = path[:-1]
            if above not in self._parents:  # the first round's
                self._parents[above] = self._replayed(above)
            self._newest[path] = self._parents[above].followed_by(path[-1])
        return self._newest[path].is_over

    def _replayed(self, path: Path) -> BranchText:
        text = self._make()
        for token in path:
            text = text.followed_by(token)
        return text
