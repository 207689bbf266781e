"""DRY: tokens that would go on with a repetition are made less likely, the longer the less.

Where the last tokens were said before, the token that followed them then gets
`multiplier * base ** (n - allowed_length)` less, n being the length of the longest such match. A
match does not reach across sequence breakers.

Source: Philipp Emanuel Weidmann, "DRY: a modern repetition penalty" (2024), text-generation-webui
pull request 5677; llama.cpp, llama_sampler_dry.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from halfbyte.generation.sampler import F64, I64
from halfbyte.tokenizer import Tokenizer

_MAX_LOG = 88.7228391  # of a float of 32 bits, which bounds the power in llama.cpp
_MAX_TAIL = 20  # tokens

Tails = Callable[[int], Sequence[tuple[int, ...]]]


class Breakers:
    """Which tokens begin a sequence breaker: for each token, the tokens that complete one."""

    def __init__(self, tokenizer: Tokenizer, texts: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        self._texts = [(text, text.encode("utf-8", "surrogatepass")) for text in texts]
        self._known: dict[int, list[tuple[int, ...]]] = {}

    def tails(self, token: int) -> list[tuple[int, ...]]:
        """The rests of breakers that begin in this token; an empty one where it holds a whole."""
        if token not in self._known:
            piece = self._bytes_of(token)
            self._known[token] = [tail for _, data in self._texts for tail in self._of(piece, data)]
        return self._known[token]

    def _of(self, piece: bytes, breaker: bytes) -> set[tuple[int, ...]]:
        if breaker in piece:
            return {()}
        found: set[tuple[int, ...]] = set()
        for n in range(1, min(len(piece), len(breaker) - 1) + 1):
            if piece.endswith(breaker[:n]):
                rest = breaker[n:].decode(errors="ignore")
                found.add(tuple(self._tokenizer.encode_fragment(rest)[:_MAX_TAIL]))
        return found

    def _bytes_of(self, token: int) -> bytes:
        # A control token spells nothing; llama.cpp looks at its name.
        return self._tokenizer.token_bytes(token) or self._tokenizer.piece(token).encode()


def longest_repeats(tokens: I64, allowed_length: int, base: float, tails: Tails) -> dict[int, int]:
    """By token that would go on with a repetition, how many tokens of it there are before it.

    Only repetitions of at least `allowed_length`; where more make no difference, they are not
    counted.
    """
    n, most = len(tokens), _reach(tokens, tails)
    if n <= allowed_length or most < allowed_length:
        return {}
    limit = min(most, allowed_length + _max_exponent(base)) if base > 1.000001 else most
    ends, length = np.arange(n - 1), 0  # places at which the last `length` tokens end, too
    found: dict[int, int] = {}
    while length < limit and len(ends):
        ends = ends[ends >= length]
        ends = ends[tokens[ends - length] == tokens[n - 1 - length]]
        length += 1
        if length >= allowed_length:
            found.update(dict.fromkeys(tokens[ends + 1].tolist(), length))
    return {token: length for token, length in found.items() if () not in tails(token)}


def penalties(repeats: dict[int, int], multiplier: float, base: float, allowed: int) -> F64:
    """What is taken from the logits of these tokens, in their order."""
    most = _max_exponent(base)
    excess = [n - allowed if not most else min(n - allowed, most) for n in repeats.values()]
    return np.array([multiplier * base**n for n in excess])


def _max_exponent(base: float) -> int:
    return int(_MAX_LOG / math.log(base)) if base > 1.000001 else 0


def _reach(tokens: I64, tails: Tails) -> int:
    """How many tokens there are behind the last sequence breaker."""
    n = len(tokens)
    for back in range(n):
        longest = -1
        for tail in tails(int(tokens[n - 1 - back])):
            end = n - back + len(tail)
            if len(tail) <= back and tuple(tokens[n - back : end].tolist()) == tail:
                longest = max(longest, len(tail))
        if longest >= 0:
            return back - longest
    return n
