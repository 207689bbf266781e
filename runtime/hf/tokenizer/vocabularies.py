"""Vocabularies for tokenizers with transformers' interface: sentencepiece files and GGUF's."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from halfbyte.errors import MissingFileError, ModelFileError
from halfbyte.files.file_kinds import is_json
from halfbyte.files.json_folder import JSONFolder
from halfbyte.hf.tokenizer.added_tokens import AddedToken
from halfbyte.tokenizer import Tokenizer, Vocabulary
from halfbyte.tokenizer.from_json import read_sentencepieces
from halfbyte.tokenizer.markers import CODE_LLAMA
from halfbyte.tokenizer.sentencepiece_file import charsmap, read_model
from halfbyte.tokenizer.vocabulary import (
    BYTE,
    CONTROL,
    NORMAL,
    USER_DEFINED,
    sentencepiece_types,
)

_ROLES = {"bos": "<s>", "eos": "</s>", "unk": "<unk>"}


def read_sentencepiece(file: str | os.PathLike[str]) -> Vocabulary:
    """The vocabulary of a tokenizer.model, or of a tokenizer.json made of one, and no added tokens.

    Raises:
        ModelFileError: there is no such file, it is no BPE, or it can't be kept as it is.
    """
    path = Path(file)
    if not path.is_file():
        raise MissingFileError(
            path, expected="a sentencepiece model", got="no such file",
            hint="put the model's tokenizer.model there",
        )  # fmt: skip
    if is_json(path):
        found = read_sentencepieces(path, JSONFolder(path.parent).read_json(path.name) or {})
    else:
        found = read_model(path)
    special = {role: found.pieces.index(t) for role, t in _ROLES.items() if t in found.pieces}
    vocabulary = replace(found.vocabulary(path), special=special)
    Tokenizer(vocabulary)  # raises for what sentencepiece does not take
    return vocabulary


def write_sentencepiece(vocabulary: Vocabulary) -> bytes:
    """The vocabulary as a tokenizer.model."""
    from sentencepiece import sentencepiece_model_pb2 as spm

    model = spm.ModelProto()
    types, unknown = sentencepiece_types(vocabulary)
    for piece, type_id, score in zip(vocabulary.pieces, types, vocabulary.scores, strict=True):
        model.pieces.add(piece=piece.decode(), score=score, type=type_id)
    trainer, normalizer = model.trainer_spec, model.normalizer_spec
    trainer.model_type, trainer.byte_fallback = spm.TrainerSpec.BPE, True
    trainer.vocab_size = len(vocabulary.pieces)
    for role in ("bos", "eos", "pad"):
        setattr(trainer, f"{role}_id", vocabulary.special.get(role, -1))
    if unknown == len(vocabulary.pieces):
        raise ModelFileError(vocabulary.path, "unk", expected="an unknown token", got="none")
    trainer.unk_id = unknown
    normalizer.name = vocabulary.normalization_rule
    normalizer.precompiled_charsmap = charsmap(vocabulary.normalization_rule)
    normalizer.remove_extra_whitespaces = vocabulary.remove_extra_whitespaces
    normalizer.add_dummy_prefix = vocabulary.add_space_prefix
    return bytes(model.SerializeToString())


def read_gguf(path: Path) -> tuple[Vocabulary, dict[str, Any]]:
    """The vocabulary of a .gguf file, and the constructor arguments that it states.

    Raises:
        ModelFileError: the vocabulary is incomplete or inconsistent.
        UnsupportedModelError: a kind of vocabulary that is not known here.
    """
    vocabulary = _with_markers_as_text(Tokenizer.from_path(path).vocabulary)
    special = dict(vocabulary.special)
    if vocabulary.unknown_id is not None:
        special.setdefault("unk", vocabulary.unknown_id)
    arguments: dict[str, Any] = {
        f"{role}_token": vocabulary.pieces[special[role]].decode()
        for role in ("bos", "eos", "unk", "pad")
        if role in special
    }
    named = set(arguments.values())
    added = added_tokens(vocabulary)
    arguments["added_tokens_decoder"] = added
    arguments["additional_special_tokens"] = [
        t.content for t in added.values() if t.special and t.content not in named
    ]
    if vocabulary.add_bos is not None:
        arguments["add_bos_token"] = vocabulary.add_bos
    if vocabulary.add_eos is not None:
        arguments["add_eos_token"] = vocabulary.add_eos
    default = vocabulary.chat_template
    templates = vocabulary.named_templates | ({} if default is None else {"default": default})
    if templates:
        arguments["chat_template"] = default if templates.keys() == {"default"} else templates
    return vocabulary, arguments


def added_tokens(vocabulary: Vocabulary) -> dict[int, AddedToken]:
    """The tokens that text is searched for: all that are not plain pieces, bytes or fillings."""
    unknown = vocabulary.unknown_id
    return {
        i: AddedToken(
            piece.decode(),
            special=type_id != USER_DEFINED,
            **{flag: i in ids for flag, ids in vocabulary.flags.items()},
        )
        for i, (piece, type_id) in enumerate(zip(vocabulary.pieces, vocabulary.types, strict=True))
        if (type_id in (CONTROL, USER_DEFINED) or i == unknown) and piece
    }


def _with_markers_as_text(v: Vocabulary) -> Vocabulary:
    """Code Llama's markers with the type that its own tokenizer.model gives them.

    Converters make control tokens of them, which no text merges into.
    """
    markers = {text.encode() for text in CODE_LLAMA} if v.model == "llama" else set()
    # Their halves have the lowest scores, so that those of the whole markers do not matter.
    types = [
        NORMAL if piece in markers and type_id != BYTE else type_id
        for piece, type_id in zip(v.pieces, v.types, strict=True)
    ]
    return replace(v, types=types)
