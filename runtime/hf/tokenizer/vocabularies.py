"""Vocabularies for tokenizers with transformers' interface: sentencepiece files and GGUF's."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from halfbyte.errors import MissingFileError, ModelFileError, UnsupportedModelError
from halfbyte.file_kinds import is_json, refused
from halfbyte.hf.tokenizer.added_tokens import AddedToken
from halfbyte.json_folder import JSONFolder
from halfbyte.tokenizer import Tokenizer, Vocabulary
from halfbyte.tokenizer.from_json import SentencePieces, read_sentencepieces
from halfbyte.tokenizer.markers import CODE_LLAMA
from halfbyte.tokenizer.vocabulary import BYTE, CONTROL, NORMAL, UNKNOWN, USER_DEFINED

_ROLES = {"bos": "<s>", "eos": "</s>", "unk": "<unk>"}


def read_sentencepiece(file: str | os.PathLike[str]) -> Vocabulary:
    """The vocabulary of a tokenizer.model, or of a tokenizer.json made of one, and no added tokens.

    Raises:
        ModelFileError: there is no such file, or it is not one.
        UnsupportedModelError: it is no BPE model.
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
        found = _read_model(path)
    special = {role: found.pieces.index(t) for role, t in _ROLES.items() if t in found.pieces}
    return Vocabulary(
        path=str(path),
        model="llama",
        pieces=[piece.encode() for piece in found.pieces],
        types=found.types,
        scores=found.scores,
        add_space_prefix=found.add_space_prefix,
        special=special,
    )


def _read_model(path: Path) -> SentencePieces:
    from sentencepiece import SentencePieceProcessor
    from sentencepiece import sentencepiece_model_pb2 as spm

    try:
        serialized = SentencePieceProcessor(model_file=str(path)).serialized_model_proto()
    except (OSError, RuntimeError) as error:
        expected = "a sentencepiece model"
        raise refused(ModelFileError, path, expected=expected, got=str(error)) from error
    model = spm.ModelProto.FromString(serialized)
    if model.trainer_spec.model_type != spm.TrainerSpec.BPE:
        got = "another kind"
        raise refused(UnsupportedModelError, path, "model_type", expected="BPE", got=got)
    return SentencePieces(
        pieces=[piece.piece for piece in model.pieces],
        types=[int(piece.type) for piece in model.pieces],
        scores=[float(piece.score) for piece in model.pieces],
        add_space_prefix=bool(model.normalizer_spec.add_dummy_prefix),
    )


def write_sentencepiece(vocabulary: Vocabulary) -> bytes:
    """The vocabulary as a tokenizer.model with Llama's settings."""
    from sentencepiece import sentencepiece_model_pb2 as spm

    model = spm.ModelProto()
    for piece, type_id, score in zip(
        vocabulary.pieces, vocabulary.types, vocabulary.scores, strict=True
    ):
        model.pieces.add(piece=piece.decode(), score=score, type=type_id)
    trainer, normalizer = model.trainer_spec, model.normalizer_spec
    trainer.model_type, trainer.byte_fallback = spm.TrainerSpec.BPE, True
    trainer.vocab_size = len(vocabulary.pieces)
    for role in ("bos", "eos", "pad"):
        setattr(trainer, f"{role}_id", vocabulary.special.get(role, -1))
    trainer.unk_id = vocabulary.types.index(UNKNOWN)
    normalizer.name, normalizer.remove_extra_whitespaces = "identity", False
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
    if UNKNOWN in vocabulary.types:
        special.setdefault("unk", vocabulary.types.index(UNKNOWN))
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
    if vocabulary.chat_template is not None:
        arguments["chat_template"] = vocabulary.chat_template
    return vocabulary, arguments


def added_tokens(vocabulary: Vocabulary) -> dict[int, AddedToken]:
    """The tokens that text is searched for: all that are not plain pieces or bytes."""
    return {
        i: AddedToken(piece.decode(), special=type_id != USER_DEFINED)
        for i, (piece, type_id) in enumerate(zip(vocabulary.pieces, vocabulary.types, strict=True))
        if type_id in (CONTROL, UNKNOWN, USER_DEFINED) and piece
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
