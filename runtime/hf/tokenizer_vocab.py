"""Vocabularies for tokenizers with transformers' interface: sentencepiece files and GGUF's."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from halfbyte.errors import ModelFileError, UnsupportedModelError
from halfbyte.hf.tokenizer_added import AddedToken
from halfbyte.hf.tokenizer_settings import read_json
from halfbyte.tokenizer import Tokenizer, Vocabulary
from halfbyte.tokenizer.markers import CODE_LLAMA
from halfbyte.tokenizer.vocabulary import BYTE, CONTROL, NORMAL, UNKNOWN, USER_DEFINED

_ROLES = {"bos": "<s>", "eos": "</s>", "unk": "<unk>"}


def read_sentencepiece(path: str | os.PathLike[str]) -> Vocabulary:
    """The vocabulary of a tokenizer.model, or of a tokenizer.json made of one, and no added tokens.

    Raises:
        ModelFileError: there is no such file, or it is not one.
        UnsupportedModelError: it is no BPE model.
    """
    from sentencepiece import SentencePieceProcessor
    from sentencepiece import sentencepiece_model_pb2 as spm

    path = os.fspath(path)
    if not os.path.isfile(path):
        raise ModelFileError(
            path, expected="a sentencepiece model", got="no such file",
            hint="put the model's tokenizer.model there",
        )  # fmt: skip
    if path.endswith(".json"):
        return _read_json(path)
    try:
        serialized = SentencePieceProcessor(model_file=path).serialized_model_proto()
    except (OSError, RuntimeError) as error:
        raise ModelFileError(path, expected="a sentencepiece model", got=str(error)) from error
    model = spm.ModelProto.FromString(serialized)
    if model.trainer_spec.model_type != spm.TrainerSpec.BPE:
        raise UnsupportedModelError(path, "model_type", expected="BPE", got="another kind")
    return _vocabulary(
        path,
        [piece.piece for piece in model.pieces],
        types=[int(piece.type) for piece in model.pieces],
        scores=[float(piece.score) for piece in model.pieces],
        add_space_prefix=bool(model.normalizer_spec.add_dummy_prefix),
    )


def _read_json(path: str) -> Vocabulary:
    from halfbyte.tokenizer.from_json import read_sentencepieces

    found = read_sentencepieces(Path(path), read_json(Path(path)))
    return _vocabulary(path, found.pieces, found.types, found.scores, found.add_space_prefix)


def _vocabulary(
    path: str, pieces: list[str], types: list[int], scores: list[float], add_space_prefix: bool
) -> Vocabulary:
    return Vocabulary(
        path=path,
        model="llama",
        pieces=[piece.encode() for piece in pieces],
        types=types,
        scores=scores,
        add_space_prefix=add_space_prefix,
        special={role: pieces.index(text) for role, text in _ROLES.items() if text in pieces},
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
    for role in ("unk", "bos", "eos", "pad"):
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
    arguments: dict[str, Any] = {
        f"{role}_token": vocabulary.pieces[vocabulary.special[role]].decode()
        for role in ("bos", "eos", "unk", "pad")
        if role in vocabulary.special
    }
    if UNKNOWN in vocabulary.types:
        unknown = vocabulary.types.index(UNKNOWN)
        arguments.setdefault("unk_token", vocabulary.pieces[unknown].decode())
    if vocabulary.add_bos is not None:
        arguments["add_bos_token"] = vocabulary.add_bos
    if vocabulary.chat_template is not None:
        arguments["chat_template"] = vocabulary.chat_template
    named = {v for name, v in arguments.items() if name.endswith("_token")}
    added = added_tokens(vocabulary)
    special = [t.content for t in added.values() if t.special and t.content not in named]
    arguments["added_tokens_decoder"] = added
    arguments["additional_special_tokens"] = special
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
    ids = {piece: i for i, piece in enumerate(v.pieces)}
    found = [i for text in CODE_LLAMA if (i := ids.get(text.encode())) is not None]
    changed = [i for i in found if v.types[i] not in (NORMAL, BYTE)]
    if v.model != "llama" or not changed:
        return v
    # Their halves have the lowest scores, so that those of the whole markers do not matter.
    return replace(v, types=[NORMAL if i in changed else t for i, t in enumerate(v.types)])
