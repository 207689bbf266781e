"""Tokens that files add to a model's own pieces: what each file says, and their places."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from halfbyte.errors import ConversionError
from halfbyte.files.json_folder import JSONFolder
from halfbyte.tokenizer.json_parts import Added, put_added
from halfbyte.tokenizer.replaced_pieces import check_replaced
from halfbyte.tokenizer.row_count import append, growing
from halfbyte.tokenizer.vocabulary import CONTROL, USER_DEFINED, Vocabulary

_CONFIG, _LEGACY = "tokenizer_config.json", "added_tokens.json"


def read_added(folder: JSONFolder, settings: Mapping[str, Any]) -> dict[int, Added]:
    """The tokens of added_tokens.json and of tokenizer_config.json, by id; the latter wins.

    Raises:
        ConversionError: they are no tokens, or two have one id.
    """
    old: dict[int, Added] = {}
    for text, token_id in (folder.read_json(_LEGACY) or {}).items():
        put_added(folder.path / _LEGACY, repr(text), old, token_id, text)
    path, name = folder.path / _CONFIG, "added_tokens_decoder"
    stated = settings.get(name)
    if not isinstance(stated, (dict, type(None))):
        raise ConversionError(path, name, expected="tokens by id", got=repr(stated))
    new: dict[int, Added] = {}
    for key, entry in (stated or {}).items():
        is_id = key.isascii() and key.isdigit() and len(key) < 11
        put_added(path, name, new, int(key) if is_id else key, entry)
    return merged(path, old, new)


def merged(path: Path, low: Mapping[int, Added], high: Mapping[int, Added]) -> dict[int, Added]:
    """Tokens of two files, which must call one id the same; flags of the second win.

    Raises:
        ConversionError: they do not, or a text has two ids.
    """
    both = {**low, **high}
    for i in low.keys() & high.keys():
        if low[i].content != high[i].content:
            got = repr((low[i].content, high[i].content))
            raise ConversionError(path, f"added token {i}", expected="one text for it", got=got)
    ids: dict[str, int] = {}
    for i, token in both.items():
        if ids.setdefault(token.content, i) != i:
            where = f"added token {token.content!r}"
            raise ConversionError(path, where, expected="one id", got=[ids[token.content], i])
    return both


def place_added(path: Path, v: Vocabulary, added: Mapping[int, Added]) -> None:
    """Put added tokens into a vocabulary, each at its id.

    Raises:
        ConversionError: an id that would leave a gap, or that another piece needs.
    """
    check_replaced(path, v, {i: token.content for i, token in added.items()})
    ids = {piece: i for i, piece in reversed(list(enumerate(v.pieces)))}
    for i, token in sorted(added.items()):
        piece, type_id = token.content.encode(), CONTROL if token.is_special else USER_DEFINED
        where = f"added token {token.content!r}"
        known = ids.get(piece, i)
        if v.model == "gpt2" and known != i:
            raise ConversionError(path, where, expected=f"id {known}, which it has", got=i)
        if i == len(v.pieces):
            append(v, token.content, type_id)
        elif i > len(v.pieces):
            raise ConversionError(path, where, expected=f"id {len(v.pieces)}", got=i)
        elif v.pieces[i] != piece:
            growing(v)[i], v.types[i] = piece, type_id
