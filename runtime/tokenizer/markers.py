"""Marker tokens: pieces that steer a model though their type says plain text.

Code Llama's vocabulary spells its infilling markers as normal pieces, so that plain text such as
" <EOT>" merges into one; files of other families list markers as user-defined pieces. What a user
wrote is text, so these pieces are kept out of the vocabulary that reads it.
"""

from __future__ import annotations

import re

import numpy as np

from halfbyte.gguf.strings import Strings
from halfbyte.tokenizer.vocabulary import END_PIECES, USER_DEFINED, Vocabulary, numbers_of

# The pieces after Llama 2's 32000, the halves that merging needs included.
_EOT = "▁<EOT>"
CODE_LLAMA = (
    "▁<SU", "▁<SUF", "▁<PRE", "▁<M", "▁<MID", "▁<E", "▁<EOT",
    "▁<PRE>", "▁<SUF>", "▁<MID>", *(_EOT + "<EOT>" * n for n in range(6)),
)  # fmt: skip

# How byte-level vocabularies, and Mistral's, spell theirs.
_SHAPE = re.compile(
    r"<[|｜].*[|｜]>|<\|[a-z_]+>|<\[.+\]>|<[a-z_]+\|>|<fim_\w+>|<(?:file_sep|filename|repo_name|reponame)>"
    r"|\[(?:PREFIX|SUFFIX|MIDDLE|INST|/INST)\]"
)
_BEGINS = b"<", b"["
_HARMLESS = ("unk", "pad")  # roles that steer nothing


def marker_ids(vocabulary: Vocabulary) -> frozenset[int]:
    """Ids of all marker pieces, whatever their type."""
    found = {i for role, i in vocabulary.special.items() if role not in _HARMLESS}
    pieces = Strings.of(vocabulary.pieces)
    if "▁<PRE>".encode() in pieces:
        halves = {piece.encode() for piece in CODE_LLAMA}
        last = {piece: i for i, piece in enumerate(pieces) if piece in halves}
        found.update(last.values())
    ends = {piece.encode() for piece in END_PIECES}  # Phi-3's </s> is of a type that text becomes
    shown = np.flatnonzero(numbers_of(vocabulary.types) == USER_DEFINED).tolist()
    found.update(i for i in shown if pieces[i] in ends)
    for begun in _BEGINS:
        found.update(
            i for i in pieces.beginning_with(begun).tolist()
            if _SHAPE.fullmatch(pieces[i].decode(errors="replace"))
        )  # fmt: skip
    return frozenset(found)
