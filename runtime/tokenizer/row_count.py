"""A vocabulary beside an embedding of another length: each row has a token, each token a row."""

from __future__ import annotations

import logging
from dataclasses import replace

from halfbyte.tokenizer.vocabulary import UNUSED, Vocabulary

log = logging.getLogger(__name__)

_MAX_NAMED = 16


def append(v: Vocabulary, piece: str, type_id: int) -> None:
    """Put a token at the end."""
    growing(v).append(piece.encode())
    v.types.append(type_id)
    if v.model == "llama":
        v.scores.append(-1000.0)


def growing(v: Vocabulary) -> list[bytes]:
    """The pieces of a vocabulary that is put together from several files."""
    assert isinstance(v.pieces, list)
    return v.pieces


def fit_rows(v: Vocabulary, n_rows: int | None) -> tuple[Vocabulary, dict[str, int]]:
    """The vocabulary with as many tokens as the embedding has rows, and those that were dropped.

    Rows without a token get unused ones. Tokens without a row can be neither read nor written;
    they are named in a warning, and what merges into them goes too.
    """
    if n_rows is None or len(v.pieces) <= n_rows:
        for i in range(len(v.pieces), n_rows or 0):
            append(v, f"[PAD{i}]", UNUSED)
        return v, {}
    dropped = {piece.decode(): i for i, piece in enumerate(v.pieces) if i >= n_rows}
    named = ", ".join(f"{text!r} ({i})" for text, i in list(dropped.items())[:_MAX_NAMED])
    more = f" and {len(dropped) - _MAX_NAMED} more" if len(dropped) > _MAX_NAMED else ""
    log.warning(
        "%s: %d tokens are more than the model's %d rows: dropped are %s%s",
        v.path, len(v.pieces), n_rows, named, more,
    )  # fmt: skip
    kept = v.pieces[:n_rows]
    gone = set(v.pieces[n_rows:]) - set(kept)
    return replace(
        v,
        pieces=kept,
        types=v.types[:n_rows],
        scores=v.scores[:n_rows],
        merges=[merge for merge in v.merges if not _needs(merge, gone)],
        added=tuple(i for i in v.added if i < n_rows),
        flags={flag: tuple(i for i in ids if i < n_rows) for flag, ids in v.flags.items()},
    ), dropped


def _needs(merge: bytes, gone: set[bytes]) -> bool:
    left, _, right = merge.partition(b" ")
    return left in gone or right in gone or left + right in gone
