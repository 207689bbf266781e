"""Texts and tokens as llama.cpp's endpoints turn one into the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from halfbyte.server.fault import Fault
from halfbyte.tokenizer import Tokenizer


def ids_of(
    tokenizer: Tokenizer,
    parts: str | Sequence[int | str],
    name: str,
    *,
    add_special: bool,
    parse_special: bool,
) -> list[int]:
    """The ids of a text, or of texts and ids in turn, of which the first text begins.

    Raises:
        Fault: an id outside the vocabulary; `param` is `name`.
    """
    mixed = [parts] if isinstance(parts, str) else parts
    found: list[int] = []
    for i, part in enumerate(mixed):
        if isinstance(part, int):
            found += checked_ids(tokenizer, [part], name)
        elif i == 0:
            found += tokenizer.encode(
                part, add_bos=None if add_special else False, parse_markers=parse_special
            )
        else:
            found += tokenizer.encode_fragment(part, parse_markers=parse_special)
    return found


def checked_ids(tokenizer: Tokenizer, ids: Sequence[int], name: str) -> Sequence[int]:
    """The same.

    Raises:
        Fault: one is outside the vocabulary.
    """
    for one in ids:
        if not 0 <= one < tokenizer.n_vocab:
            message = f"{name}: expected ids below {tokenizer.n_vocab}, got {one}"
            raise Fault("invalid_request", message, param=name)
    return ids


def piece_of(tokenizer: Tokenizer, token: int) -> bytes:
    """What a token spells; of a control token, its name."""
    return tokenizer.token_bytes(token) or tokenizer.piece(token).encode()


def text_of(tokenizer: Tokenizer, ids: Iterable[int]) -> str:
    """The text of ids with the names of control tokens, a first word's space kept."""
    return b"".join(piece_of(tokenizer, one) for one in ids).decode(errors="replace")
