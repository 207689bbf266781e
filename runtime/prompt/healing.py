"""Token healing: the tokens at the cursor are chosen anew, so that they can become longer ones.

A text that stops inside a word or operator ends in tokens that training hardly ever showed there:
"retu" is not how "return" begins in tokens. So the last tokens are taken back while some piece of
the vocabulary is longer than what they spell, and the model's first tokens are held to spell
these bytes again, alone or with what follows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from halfbyte.tokenizer import Tokenizer

MAX_HEALED = 8  # tokens taken back at most


class Healing:
    """What the first tokens of an answer have to spell; done when `rest` is empty.

    Attributes:
        text: the bytes taken back from the prompt.
        rest: what is not spelled yet.
    """

    def __init__(self, tokenizer: Tokenizer, text: bytes) -> None:
        self.text = self.rest = text
        self._tokenizer = tokenizer

    def allowed(self) -> NDArray[np.int64] | None:
        """The tokens that may come next; None: any."""
        return self._tokenizer.piece_index.allowed(self.rest) if self.rest else None

    def accept(self, token: int) -> None:
        """Count a token that `allowed` named."""
        self.rest = self.rest[len(self._tokenizer.token_bytes(token)) :]


def heal_tail(tokenizer: Tokenizer, ids: Sequence[int], *, n_text: int) -> tuple[int, bytes]:
    """How much of a prompt to keep, and the bytes that were taken back.

    Returns:
        (number of ids kept, bytes of the others): nothing is taken back where no piece extends
        the text's end; never more than the last `n_text` or MAX_HEALED tokens, a newline, or a
        token without text.
    """
    index, tail, n_kept = tokenizer.piece_index, b"", len(ids)
    for token in reversed(ids[len(ids) - min(n_text, MAX_HEALED, len(ids)) :]):
        piece = tokenizer.token_bytes(token)
        if not piece or b"\n" in piece or b"\r" in piece or not index.extends(piece + tail):
            break
        tail, n_kept = piece + tail, n_kept - 1
    return n_kept, tail
