"""What may hold an answer's first tokens to something."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Constraint(Protocol):
    """Bytes that the first tokens have to spell, such as the prompt's end where it is healed.

    Attributes:
        text: the bytes, which are no part of the answer.
        rest: what is not spelled yet; while there is some, no token is an end.
    """

    text: bytes
    rest: bytes

    def allowed(self) -> NDArray[np.int64] | None:
        """The tokens that may come next; None: any."""

    def accept(self, token: int) -> None:
        """Count a token that `allowed` named."""
