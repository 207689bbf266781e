"""Recurrent layers: what all kinds of them have in common.

Such a layer folds all that it has seen of a text into a state of one size, so that a token takes as
long at the end of a long text as at its beginning; a model has layers of attention beside them. A
kind is a file here with its configuration, a `Recurrence`, and its stages; a model has one kind.
"""

from __future__ import annotations

from abc import ABC
from typing import Protocol

from halfbyte.families.stages import Stage
from halfbyte.lazy_dataclass import dataclass

# No model has so many taps of a convolution, or so much of a state: the largest known has 4 MiB.
MAX_TAPS, MAX_STATE_NBYTES = 64, 1 << 27


class Recurrence(Protocol):
    """The sizes of a model's recurrent layers, which all have the same.

    Attributes:
        conv_rows: rows before a token's that a convolution takes.
        conv_width: features of each of them.
        output_dim: features of what a layer gives a token, in the buffer `mixed`.
        state_nbytes: of a layer's state, as floats.
        row_nbytes: of what is kept of a token and a layer, so that it can be done again.
    """

    @property
    def conv_rows(self) -> int: ...
    @property
    def conv_width(self) -> int: ...
    @property
    def output_dim(self) -> int: ...
    @property
    def state_nbytes(self) -> int: ...
    @property
    def row_nbytes(self) -> int: ...


@dataclass(frozen=True, slots=True)
class RecurrentStage(Stage, ABC):
    """The stage that moves a layer's state on by each token, and gives `mixed`.

    Nothing else of a layer knows of tokens before its own.
    """


def floats_nbytes(n: int) -> int:
    """Bytes of so many floats, in whole vectors of 16."""
    return -(-n // 16) * 64
