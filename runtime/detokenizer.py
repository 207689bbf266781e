"""Tokens to text, one at a time, never emitting half a character."""

from __future__ import annotations

import codecs

from halfbyte.tokenizer import DECODE_ERRORS, Tokenizer


class StreamDetokenizer:
    """Collects the bytes of tokens and gives out the characters that are complete.

    The pieces of `push` and the rest of `flush` together are the text of all tokens: a first
    space is kept, control tokens give nothing, and each byte that is not UTF-8 gives U+FFFD.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")(DECODE_ERRORS)

    def push(self, token: int) -> str:
        """The text that has become complete with this token."""
        return self._decoder.decode(self._tokenizer.token_bytes(token))

    def flush(self) -> str:
        """What is left of an unfinished character."""
        return self._decoder.decode(b"", final=True)
