"""Logits of some tokens raised or lowered, or the tokens forbidden."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from halfbyte.generation.sampler import F32


class LogitBias:
    """Adds a number to the logit of each of these tokens; -inf forbids it."""

    def __init__(self, biases: Mapping[int, float]) -> None:
        self._ids = np.array(list(biases), np.int64)
        self._biases = np.array(list(biases.values()), np.float32)

    def change(self, row: F32) -> None:
        """As Rule.change."""
        row[self._ids] += self._biases

    def accept(self, token: int) -> None:
        """It is the same for every token."""

    def rewind(self, n: int) -> None:
        """It is the same for every token."""

    def fork(self) -> LogitBias:
        """It is the same for every answer."""
        return self
