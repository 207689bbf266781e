"""A request for a text's place in the model's space: the last layer's states, pooled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from halfbyte.engine.engine import Span
from halfbyte.errors import EngineError
from halfbyte.generation.request import Request
from halfbyte.generation.sampler import F32

Pooling = Literal["mean", "last", "first", "none"]


class HiddenRequest(Request):
    """Hidden states of a text, as the logits' matrix takes them; finished, `states` is filled.

    Attributes:
        states: float32 (1, dim), or (n_prompt, dim) with the pooling "none".
    """

    def __init__(self, prompt: Sequence[int], pooling: Pooling, states: F32) -> None:
        super().__init__(prompt)
        self.pooling, self.states = pooling, states
        self.is_remembered = pooling == "last"  # else every row is wanted
        self._n_taken = 0
        self._sum = np.zeros(states.shape[1]) if pooling == "mean" else None

    def spans(self, n_max: int) -> list[Span]:
        """The next ones; of them, the states."""
        return [replace(span, is_hidden=True) for span in super().spans(n_max)]

    def _n_out(self, begin: int, end: int) -> int:
        if self.pooling == "last":
            return int(end == self.n_prompt)
        return max(end - max(begin, self._n_taken), 0)

    def take(self, rows: F32) -> None:
        """Pool them, one after another: what comes does not depend on the chunks they come in."""
        if not np.isfinite(rows).all():
            raise EngineError(
                "the model's states are not finite",
                hint="the file is damaged, or its numbers are too large for this arithmetic",
            )
        for row in rows:
            if self._sum is not None:
                self._sum += row
            elif self.pooling == "none":
                self.states[self._n_taken] = row
            elif self.pooling == "last" or not self._n_taken:
                self.states[0] = row
            self._n_taken += 1
        if self.n_computed == self.n_prompt:
            if self._sum is not None:
                self.states[0] = self._sum / self.n_prompt
            self.finish_reason = "length"
