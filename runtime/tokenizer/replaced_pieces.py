"""Added tokens that take the id of a piece, without which texts may become other tokens."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from halfbyte.errors import ConversionError
from halfbyte.tokenizer.vocabulary import BYTE, NORMAL, UNKNOWN, USER_DEFINED, Vocabulary

log = logging.getLogger(__name__)


def check_replaced(path: Path, v: Vocabulary, added: Mapping[int, str]) -> None:
    """Refuse added tokens that take pieces which others are merged of; say which others are gone.

    Byte-level vocabularies have no piece to spare: the `tokenizers` package gives other ids then.

    Args:
        path: the folder, for the error.
        v: the vocabulary before the tokens are added.
        added: their ids and texts.

    Raises:
        ConversionError: there are some; all are named.
    """
    replaced = {
        i: text
        for i, text in sorted(added.items())
        if 0 <= i < len(v.pieces) and v.pieces[i] != text.encode(errors="replace")
    }
    if not replaced:
        return
    needed = range(len(v.pieces)) if v.model == "gpt2" else _by_pieces(v)
    said = {
        i: f"{text!r} has the id of {v.pieces[i].decode(errors='replace')!r}, {i}"
        for i, text in replaced.items()
    }
    faults = [text for i, text in said.items() if i in needed]
    if faults:
        raise ConversionError(
            path, "added tokens", expected="ids of their own, not of pieces that merges need",
            got="; ".join(faults),
        )  # fmt: skip
    lost = [text for i, text in said.items() if v.types[i] == NORMAL]
    if lost:
        log.warning("%s: %s: no text becomes these pieces any more", path, "; ".join(lost[:8]))


def _by_pieces(v: Vocabulary) -> set[int]:
    """The ids of bytes and single characters, and of pieces of which others are made."""
    texts = [piece.decode(errors="replace") for piece in v.pieces]
    kinds = (NORMAL, USER_DEFINED)
    ids = {t: i for i, (t, kind) in enumerate(zip(texts, v.types, strict=True)) if kind in kinds}
    needed = {i for i, kind in enumerate(v.types) if kind in (BYTE, UNKNOWN)}
    needed |= {i for text, i in ids.items() if len(text) == 1 and v.types[i] == NORMAL}
    for text in ids:
        for k in range(1, len(text)):
            left, right = ids.get(text[:k]), ids.get(text[k:])
            if left is not None and right is not None:
                needed |= {left, right}
    return needed
