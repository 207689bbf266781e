"""Whether two vocabularies mean the same by an id, as a model needs that guesses for another."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import repeat

from halfbyte.errors import RequestError
from halfbyte.gguf.file import GGUFFile
from halfbyte.tokenizer.tokenizer import Tokenizer
from halfbyte.tokenizer.vocabulary import UNUSED


def check_same_ids(tokenizer: Tokenizer, other: Tokenizer, param: str) -> None:
    """That ids stand for the same bytes, as far as both vocabularies reach.

    Rows that only fill one of them up may be anything in the other.

    Args:
        tokenizer: a model's.
        other: that of a model which is to guess for it.
        param: the argument that named that one.

    Raises:
        RequestError: an id differs.
    """
    spelled = zip(_spellings(tokenizer), _spellings(other), strict=False)
    differing = [
        token for token, (mine, its) in enumerate(spelled)
        if mine != its and not _is_same(tokenizer, other, token)
    ]  # fmt: skip
    if differing:
        mine, its = (t.token_bytes(differing[0]) for t in (tokenizer, other))
        raise RequestError(
            param, expected="a model with the same vocabulary, id by id",
            got=f"one where {len(differing)} ids differ: {differing[0]} is {its!r}, not {mine!r}",
            hint="a smaller model of the same family usually has it",
        )  # fmt: skip


def _is_same(tokenizer: Tokenizer, other: Tokenizer, token: int) -> bool:
    if tokenizer.token_bytes(token) == other.token_bytes(token):
        return True
    return _is_padding(tokenizer, token) or _is_padding(other, token)


def _spellings(tokenizer: Tokenizer) -> Iterator[tuple[str, bytes, int]]:
    """What decides each token's bytes, and is known at once."""
    vocabulary = tokenizer.vocabulary
    return zip(repeat(tokenizer.kind), vocabulary.pieces, vocabulary.types, strict=False)


def _is_padding(tokenizer: Tokenizer, token: int) -> bool:
    return tokenizer.vocabulary.types[token] == UNUSED


def tokenizer_of(files: Sequence[GGUFFile]) -> Tokenizer:
    """The tokenizer of a model's file, the first one; those that guess for it have the same tokens.

    Raises:
        RequestError: they have others. ModelFileError, UnsupportedModelError: as from_gguf.
    """
    with _no_collections():
        own, *others = [Tokenizer.from_gguf(file) for file in files]
    for other in others:
        check_same_ids(own, other, "draft")
    return own


@contextmanager
def _no_collections() -> Iterator[None]:
    """Garbage is left lying: a vocabulary is many small objects, which are looked through again and
    again as they are made, and none of them is garbage.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
