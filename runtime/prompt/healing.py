"""Token healing: the tokens at the cursor are chosen anew, so that they can become longer ones.

A text that stops inside a word or operator ends in tokens that training hardly ever showed there:
"retu" is not how "return" begins in tokens. So the last tokens are taken back while some piece of
the vocabulary is longer than what they spell, and the model's first tokens spell these bytes again,
alone or with what follows (generation/respelling.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from halfbyte.tokenizer import Tokenizer

MAX_HEALED = 8  # tokens taken back at most


def n_healed(tokenizer: Tokenizer, ids: Sequence[int], *, n_text: int) -> int:
    """How many of a prompt's last tokens are taken back.

    None where no piece extends the text's end; never more than the last `n_text` or MAX_HEALED
    tokens, a newline, or a token without text.
    """
    index, tail, n = tokenizer.piece_index, b"", 0
    for token in reversed(ids[len(ids) - min(n_text, MAX_HEALED, len(ids)) :]):
        piece = tokenizer.token_bytes(token)
        if not piece or b"\n" in piece or b"\r" in piece or not index.extends(piece + tail):
            break
        tail, n = piece + tail, n + 1
    return n
