"""Prompts in pieces: what a format writes itself, and what came from a user.

Only a format's own marker becomes a special token. A text of a user that spells one is plain text.
"""

from __future__ import annotations

from collections.abc import Iterable

from halfbyte.tokenizer import Tokenizer


class Marker(str):
    """A text by which a format marks a place: one token, where the vocabulary has it as one."""

    __slots__ = ()


def encode_pieces(tokenizer: Tokenizer, pieces: Iterable[str]) -> list[int]:
    """Ids of the pieces, joined.

    What stands between two special tokens is encoded as one text, markers among it that the
    vocabulary does not know: so its tokens are those of a tokenizer that reads the whole prompt.
    """
    ids: list[int] = []
    plain: list[str] = []
    for piece in pieces:
        token = marker_id(tokenizer, piece)
        if token is None:
            plain.append(piece)
            continue
        ids += [*tokenizer.encode_fragment("".join(plain)), token]
        plain.clear()
    return ids + tokenizer.encode_fragment("".join(plain))


def n_tokens(tokenizer: Tokenizer, pieces: Iterable[str], room: int) -> int:
    """Tokens of the pieces; of more than `room`, some number above that.

    The work depends on the room, however long the pieces are.
    """
    n = 0
    for piece in pieces:
        if n > room:
            break
        if marker_id(tokenizer, piece) is not None:
            n += 1
            continue
        n_read = 4 * (room + 1)
        while (n_piece := len(tokenizer.encode_fragment(piece[:n_read]))) <= room:
            if n_read >= len(piece):
                break
            n_read *= 4
        n += n_piece
    return n


def marker_id(tokenizer: Tokenizer, piece: str) -> int | None:
    """The token of a marker; None for plain text, and for a marker that is text to the model."""
    return tokenizer.id_of(piece) if isinstance(piece, Marker) else None
