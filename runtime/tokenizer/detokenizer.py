"""Tokens to text, one at a time, never emitting half a character."""

from __future__ import annotations

import codecs
import copy

from halfbyte.tokenizer.tokenizer import DECODE_ERRORS, Tokenizer


class StreamDetokenizer:
    """Collects the bytes of tokens and gives out the characters that are complete.

    The pieces of `push` and the rest of `flush` together are the text of all tokens: a first
    space is kept, control tokens give nothing, and each byte that is not UTF-8 gives U+FFFD.

    Args:
        tokenizer: whose tokens they are.
        skip_nbytes: bytes at the beginning that are not given out: text that is shown already.
    """

    def __init__(self, tokenizer: Tokenizer, *, skip_nbytes: int = 0) -> None:
        self._tokenizer, self._skip_nbytes = tokenizer, skip_nbytes
        self._decoder = codecs.getincrementaldecoder("utf-8")(DECODE_ERRORS)

    def skips(self, token: int) -> bool:
        """Whether all of the next token's bytes will be skipped."""
        return len(self._tokenizer.token_bytes(token)) <= self._skip_nbytes

    @property
    def is_between(self) -> bool:
        """Whether a character has begun and is not complete."""
        return bool(self._decoder.getstate()[0])

    def push(self, token: int) -> str:
        """The text that has become complete with this token."""
        piece = self._tokenizer.token_bytes(token)
        n = min(self._skip_nbytes, len(piece))
        self._skip_nbytes -= n
        return self._decoder.decode(piece[n:])

    def fork(self) -> StreamDetokenizer:
        """Another one at the same place."""
        made = copy.copy(self)
        made._decoder = copy.copy(self._decoder)
        return made

    def flush(self) -> str:
        """What is left of an unfinished character."""
        return self._decoder.decode(b"", final=True)
