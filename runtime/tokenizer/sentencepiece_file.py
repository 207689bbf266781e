"""A tokenizer.model: its pieces, and what sentencepiece makes of a text first.

How characters are spelled anew is a table in the file. Only sentencepiece's own tables are taken,
by their names: one of another make is a program of a kind, which sentencepiece runs unchecked.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any

from halfbyte.errors import ConversionError
from halfbyte.files.file_kinds import refused
from halfbyte.files.json_folder import check_regular
from halfbyte.tokenizer.from_json import SentencePieces
from halfbyte.tokenizer.vocabulary import IDENTITY

RULES = (IDENTITY, "nmt_nfkc", "nfkc", "nmt_nfkc_cf", "nfkc_cf")
_UNKNOWN_SURFACE = " \u2047 "


def parse(path: Path) -> Any:
    """A tokenizer.model as sentencepiece's message.

    Raises:
        ConversionError: it is empty or broken.
    """
    from google.protobuf.message import DecodeError
    from sentencepiece import sentencepiece_model_pb2 as spm

    model = spm.ModelProto()
    try:
        check_regular(path)
        data = path.read_bytes()
        model.ParseFromString(data)
    except (DecodeError, OSError) as error:
        expected = "a sentencepiece model"
        raise refused(ConversionError, path, expected=expected, got=str(error)) from error
    if not data:
        raise refused(ConversionError, path, expected="a sentencepiece model", got="an empty file")
    if not model.pieces:
        raise refused(
            ConversionError, path, "pieces", expected="a sentencepiece model's", got="none"
        )
    return model


def read_model(path: Path) -> SentencePieces:
    """The vocabulary of a tokenizer.model.

    Raises:
        ConversionError: it is broken, no BPE, or has a setting that can't be kept, by name.
    """
    from sentencepiece import sentencepiece_model_pb2 as spm

    model = parse(path)
    trainer, normalizer = model.trainer_spec, model.normalizer_spec
    if trainer.model_type != spm.TrainerSpec.BPE:
        kind = spm.TrainerSpec.ModelType.Name(trainer.model_type)
        field = "trainer_spec.model_type"
        raise refused(ConversionError, path, field, expected="BPE", got=kind)
    _check_settings(path, model)
    return SentencePieces(
        [_piece(path, i, piece) for i, piece in enumerate(model.pieces)],
        [int(piece.type) for piece in model.pieces],
        [float(piece.score) for piece in model.pieces],
        bool(normalizer.add_dummy_prefix),
        bool(normalizer.remove_extra_whitespaces),
        _rule(path, bytes(normalizer.precompiled_charsmap)),
    )


def _check_settings(path: Path, model: Any) -> None:
    """Refuse settings that GGUF, and the tokenizer here, can't express."""
    wanted = {
        "trainer_spec.byte_fallback": (model.trainer_spec.byte_fallback, True),
        "trainer_spec.treat_whitespace_as_suffix": (
            model.trainer_spec.treat_whitespace_as_suffix, False,
        ),
        "normalizer_spec.escape_whitespaces": (model.normalizer_spec.escape_whitespaces, True),
        "trainer_spec.unk_surface": (_text(model.trainer_spec, "unk_surface"), _UNKNOWN_SURFACE),
        "denormalizer_spec.precompiled_charsmap": (
            bytes(model.denormalizer_spec.precompiled_charsmap), b"",
        ),
    }  # fmt: skip
    for name, (value, expected) in wanted.items():
        if value != expected:
            raise ConversionError(path, name, expected=repr(expected), got=repr(value))


def _piece(path: Path, i: int, piece: Any) -> str:
    text = _text(piece, "piece")
    if not text:
        got = "an empty one" if text == "" else "one that is not UTF-8"
        raise ConversionError(path, f"pieces[{i}]", expected="a piece of UTF-8", got=got)
    if not math.isfinite(piece.score):
        raise ConversionError(path, f"pieces[{i}].score", expected="a number", got=piece.score)
    return text


def _text(message: Any, name: str) -> str | None:
    """A text of a message; None where it is not UTF-8."""
    try:
        value = getattr(message, name)
        return value if isinstance(value, str) else None  # bytes that are no text
    except UnicodeError:  # with another implementation of protobuf
        return None


def _rule(path: Path, table: bytes) -> str:
    for name in RULES:
        if table == charsmap(name):
            return name
    raise ConversionError(
        path, "normalizer_spec.precompiled_charsmap", expected=f"that of {', '.join(RULES)}",
        got=f"another of {len(table)} bytes",
    )  # fmt: skip


@cache
def charsmap(rule: str) -> bytes:
    """Sentencepiece's own table of a rule."""
    if rule == IDENTITY:
        return b""
    from sentencepiece import SentencePieceNormalizer
    from sentencepiece import sentencepiece_model_pb2 as spm

    made = SentencePieceNormalizer(rule_name=rule).serialized_model_proto()
    return bytes(spm.ModelProto.FromString(made).normalizer_spec.precompiled_charsmap)
