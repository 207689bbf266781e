"""Tokenizer files of a Hugging Face folder to a vocabulary.

`tokenizer.model` (sentencepiece), or a `tokenizer.json` that was made of one, gives a "llama"
vocabulary, a byte-level BPE `tokenizer.json` a "gpt2" one. Ids of special tokens come from the
texts that tokenizer_config.json names, else from config.json and generation_config.json;
infilling tokens are found by their own text.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from halfbyte.errors import ConversionError, MissingFileError
from halfbyte.files.file_kinds import is_json
from halfbyte.files.file_names import refusal
from halfbyte.files.json_folder import JSONFolder
from halfbyte.tokenizer.added_pieces import merged, place_added, read_added
from halfbyte.tokenizer.byte_level_json import check_normalized, is_byte_level, read_byte_level
from halfbyte.tokenizer.chat_templates import DEFAULT
from halfbyte.tokenizer.from_json import OtherMerges, puts_spaces_inside, read_sentencepieces
from halfbyte.tokenizer.json_parts import (
    added_tokens,
    check_whole,
    flag_ids,
    model_of,
    surroundings,
)
from halfbyte.tokenizer.plain_json import GEMMA4, SHOWN, is_plain, read_plain
from halfbyte.tokenizer.row_count import fit_rows
from halfbyte.tokenizer.sentencepiece_file import read_model
from halfbyte.tokenizer.stated_settings import Settings
from halfbyte.tokenizer.vocabulary import (
    CONTROL,
    EACH,
    END_PIECES,
    NORMAL,
    ONCE,
    UNKNOWN,
    USER_DEFINED,
    Vocabulary,
)

log = logging.getLogger(__name__)

# Role -> the piece of Code Llama's vocabulary.
_INFILL = {"fim_pre": "▁<PRE>", "fim_suf": "▁<SUF>", "fim_mid": "▁<MID>", "eot": "▁<EOT>"}
_MODEL, _JSON = "tokenizer.model", "tokenizer.json"
_OTHER_TOKENIZERS = (
    "tiktoken's files, and vocab.json alone, are not read: have transformers write a "
    "tokenizer.json, with AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"
)
_Around = tuple[list[int], list[int]]  # ids before and after a text


def read_vocabulary(path: str | os.PathLike[str], n_rows: int | None = None) -> Vocabulary:
    """The vocabulary of a folder, or of a tokenizer.model or tokenizer.json alone.

    Where tokenizer.model is empty or broken beside a good tokenizer.json, that is taken.

    Args:
        path: a folder or one of these files, whose neighbours are read as well.
        n_rows: rows of the model's embedding; missing tokens are filled in as unused ones, and
            tokens that have no row are dropped.

    Raises:
        MissingFileError: nothing lies there.
        ConversionError: there is no tokenizer, it is of an unknown kind, or does not fit.
    """
    path = Path(path)
    if not os.path.exists(path):  # which is false for a name that cannot be
        got = refusal(path) or "nothing there"
        raise MissingFileError(path, expected="a tokenizer's file or folder", got=got)
    folder = JSONFolder(path if path.is_dir() else path.parent)
    names = (_MODEL, _JSON)
    found = [path] if path.is_file() else [path / n for n in names if (path / n).is_file()]
    if not found:
        raise ConversionError(
            path, "tokenizer", expected=" or ".join(names), got="neither",
            hint=_OTHER_TOKENIZERS if _has_other_tokenizer(path) else "",
        )  # fmt: skip
    settings = Settings(folder)
    draft, around = _read_first(settings, found)
    draft, dropped = fit_rows(draft, n_rows)
    return _finished(settings, replace(draft, path=str(path)), around, dropped)


def _has_other_tokenizer(path: Path) -> bool:
    """Whether a folder has one of other kinds: tiktoken's, or GPT-2's vocab.json and merges.txt."""
    return any(path.glob("*.tiktoken")) or (path / "vocab.json").is_file()


def _read_first(settings: Settings, found: list[Path]) -> tuple[Vocabulary, _Around | None]:
    if len(found) == 1:
        return _read(settings, found[0])
    try:
        return _read(settings, found[0])
    except ConversionError as error:
        try:
            read = _read(settings, found[1])
        except ConversionError:
            raise error from None
        log.warning("%s: not used, %s is: %s", found[0], found[1].name, error)
        return read


def _read(settings: Settings, path: Path) -> tuple[Vocabulary, _Around | None]:
    """A file's vocabulary with what others add to it, and what is put around a text."""
    listed = read_added(settings.folder, settings.config)
    around: _Around | None = None
    if is_json(path):
        data = settings.folder.read_json(path.name) or {}
        check_whole(path, data)
        draft = _from_json(path, data)
        own = added_tokens(path, "added_tokens", data.get("added_tokens"))
        added = merged(path, own, listed)
        around = surroundings(path, data.get("post_processor"))
    else:
        draft, own, added = replace(read_model(path).vocabulary(path), add_bos=True), {}, listed
        draft = replace(draft, spacing=_spacing(settings))
    n_own, is_llama = len(draft.pieces), draft.model == "llama"
    place_added(path, draft, added)
    if draft.model == "gpt2":
        check_normalized(path, draft, added)
    for i in own:
        is_shown = draft.pre == GEMMA4 and draft.pieces[i] in SHOWN
        if added[i].is_special and draft.types[i] != UNKNOWN and not is_shown:
            draft.types[i] = CONTROL
        elif not is_llama or i >= n_own:  # others are of use to merging, too
            draft.types[i] = USER_DEFINED
    is_text = (NORMAL, USER_DEFINED)
    searched = [
        i for i, t in sorted(added.items()) if not t.is_special and draft.types[i] in is_text
    ]
    return replace(draft, flags=flag_ids(added), added=tuple(searched) if is_llama else ()), around


def _spacing(settings: Settings) -> str:
    """Where transformers puts spaces beside a tokenizer.model: as the file for fast ones says."""
    whole = settings.folder.read_json(_JSON)
    if whole:
        return EACH if puts_spaces_inside(whole) else ONCE
    return ONCE if settings.flag("legacy") is False else EACH


def _from_json(path: Path, data: dict[str, Any]) -> Vocabulary:
    model = model_of(path, data)
    if not model.get("byte_fallback") or is_byte_level(data):
        return read_byte_level(path, data, model)
    try:
        return replace(read_sentencepieces(path, data).vocabulary(path), add_bos=True)
    except OtherMerges:
        if is_plain(data):
            return read_plain(path, data, model)
        raise


def _finished(
    settings: Settings, draft: Vocabulary, around: _Around | None, dropped: Mapping[str, int]
) -> Vocabulary:
    """With what the files beside the tokenizer say."""
    ids = {piece.decode(): i for i, piece in reversed(list(enumerate(draft.pieces)))}
    special = settings.special_ids(ids, len(draft.pieces), dropped)
    if draft.model == "llama" and all(piece in ids for piece in _INFILL.values()):
        special |= {role: ids[piece] for role, piece in _INFILL.items()}
    before, after = around or ([], [])
    add_bos, add_eos = settings.flag("add_bos_token"), settings.flag("add_eos_token")
    if add_bos is None:
        add_bos = draft.add_bos if around is None else bool(before)
    if add_eos is None:
        add_eos = bool(after) or None
    for role, is_added, stated in (("bos", add_bos, before), ("eos", add_eos, after)):
        if is_added and stated and stated != [special.setdefault(role, stated[0])]:
            raise ConversionError(
                settings.folder.path / _JSON, "post_processor", got=stated,
                expected=f"{role.upper()} {special[role]} alone on its side of a text",
            )  # fmt: skip
        if special.get(role, 0) >= len(draft.pieces):
            raise ConversionError(
                settings.folder.path / _JSON, "post_processor", got=stated,
                expected=f"ids below {len(draft.pieces)}",
            )  # fmt: skip
    if add_bos and "bos" not in special and settings.text_of("bos") in dropped:
        settings.refuse_dropped("bos")
    known = {*special.values(), *(ids[piece] for piece in END_PIECES if piece in ids)}
    ends = settings.other_ends(len(draft.pieces), known)
    if ends and "eot" not in special:
        special["eot"], ends = ends[0], ends[1:]  # which other programs know too
    templates = settings.chat_templates(dropped)
    return replace(
        draft,
        add_bos=add_bos,
        add_eos=add_eos,
        special=special,
        ends=tuple(ends),
        chat_template=templates.pop(DEFAULT, None),
        named_templates=templates,
    )
