"""Functions that change the next token's scores, one after another, as a rule of a request.

Each is called with the ids so far, padding on the left included as transformers has them, and the
row (V,), which it changes in place. Those of one answer: what it says depends on no other.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from halfbyte.errors import RequestError
from halfbyte.generation.rules.token_ids import TokenIds
from halfbyte.generation.sampler import F32, I64


class Function(Protocol):
    """One of them; `name` is the argument that asks for it."""

    @property
    def name(self) -> str:
        """The argument's name."""

    def __call__(self, ids: I64, row: F32) -> None:
        """Change the row in place."""


class Processing:
    """A rule that calls functions.

    Args:
        functions: in their order.
        ids: the prompt, with its padding.
        may_end: whether nothing need be left, as behind one of several beams.
    """

    def __init__(
        self, functions: Sequence[Function], ids: Sequence[int], *, may_end: bool = False
    ) -> None:
        self._functions, self._may_end, self._ids = functions, may_end, TokenIds(ids)

    @property
    def ids(self) -> I64:
        """The ids so far, not to be written to."""
        return self._ids.array

    def change(self, row: F32) -> None:
        """Call them.

        Raises:
            RequestError: they leave no token, or numbers that are none.
            Exception: whatever a function of the caller raises.
        """
        ids = self.ids
        for function in self._functions:
            function(ids, row)
        best = row[row.argmax()]
        if np.isfinite(best) or (best == -np.inf and self._may_end):
            return
        names = ", ".join(dict.fromkeys(function.name for function in self._functions))
        got = "nothing but -inf" if best == -np.inf else str(best)
        raise RequestError(names, expected="scores that leave a token", got=got)

    def accept(self, token: int) -> None:
        """A token was taken."""
        self._ids.append(token)

    def fork(self) -> Processing:
        """A rule for another answer with the same beginning; the functions are the same."""
        made = copy.copy(self)
        made._ids = self._ids.copy()
        return made
