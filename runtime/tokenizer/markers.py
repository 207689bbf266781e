"""Marker tokens: pieces that steer a model though their type says plain text.

Code Llama's vocabulary spells its infilling markers as normal pieces, so that plain text such as
" <EOT>" merges into one; files of other families list markers as user-defined pieces. What a user
wrote is text, so these pieces are kept out of the vocabulary that reads it.
"""

from __future__ import annotations

import re

from halfbyte.tokenizer.vocabulary import END_PIECES, USER_DEFINED, Vocabulary

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
    if "▁<PRE>".encode() in vocabulary.pieces:
        halves = {piece.encode() for piece in CODE_LLAMA}
        last = {piece: i for i, piece in enumerate(vocabulary.pieces) if piece in halves}
        found.update(last.values())
    ends = {piece.encode() for piece in END_PIECES}  # Phi-3's </s> is of a type that text becomes
    for i, type_id in enumerate(vocabulary.types):
        if type_id == USER_DEFINED and vocabulary.pieces[i] in ends:
            found.add(i)
    begun = [i for i, piece in enumerate(vocabulary.pieces) if piece[:1] in _BEGINS]
    found.update(
        i for i in begun if _SHAPE.fullmatch(vocabulary.pieces[i].decode(errors="replace"))
    )
    return frozenset(found)
