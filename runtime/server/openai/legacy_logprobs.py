"""Probabilities in the shape of the older completions: four lists, a place in each for a token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from halfbyte.generation.probabilities import TokenLogprob, TopToken
from halfbyte.tokenizer import Tokenizer


def legacy_logprobs(
    tokenizer: Tokenizer, told: Sequence[TokenLogprob], begin: int
) -> dict[str, Any]:
    """Those of some tokens.

    Args:
        tokenizer: whose tokens they are.
        told: what the library says of them.
        begin: where their text begins in prompt and answer, in characters.
    """
    return {
        "tokens": [token_text(tokenizer, one) for one in told],
        "token_logprobs": [one.logprob for one in told],
        "top_logprobs": [_tops(tokenizer, one) for one in told],
        "text_offset": [begin + one.offset for one in told],
    }


def token_text(tokenizer: Tokenizer, one: TokenLogprob | TopToken) -> str:
    """A token as a text: bytes that are no characters are spelled out, as OpenAI does it."""
    if not one.bytes:
        return tokenizer.piece(one.token)
    try:
        return one.bytes.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in one.bytes)


def _tops(tokenizer: Tokenizer, one: TokenLogprob) -> dict[str, float] | None:
    """The likeliest and the token itself; of tokens of one text the likeliest."""
    if one.logprob is None:
        return None
    found: dict[str, float] = {}
    for top in one.top:
        found.setdefault(token_text(tokenizer, top), top.logprob)
    found.setdefault(token_text(tokenizer, one), one.logprob)
    return found
