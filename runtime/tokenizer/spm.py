"""Sentencepiece BPE vocabularies ("llama"): the model is rebuilt from pieces, scores and types."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as spm

from halfbyte.errors import ModelFileError
from halfbyte.tokenizer import long_texts
from halfbyte.tokenizer.vocabulary import (
    BYTE,
    CONTROL,
    UNKNOWN,
    Vocabulary,
    piece_text,
    sentencepiece_types,
)

_SPACE = "\u2581"
_NOTHING = "\ufdd0"  # no character
_BYTE_PIECE = re.compile(rb"<0x([0-9A-F]{2})>")


class SentencePieceBackend:
    """Encodes with sentencepiece itself, at Llama's settings: no normalization, byte fallback.

    The space before a text is put here and not by sentencepiece, so that one processor encodes
    beginnings and fragments. Markers have the type of control tokens in the processor that
    reads a user's text, which is the same as a vocabulary without them.
    """

    kind = "spm"
    default_add_bos = True

    def __init__(self, vocabulary: Vocabulary, markers: frozenset[int]) -> None:
        self.adds_space = vocabulary.add_space_prefix
        _check(vocabulary)
        self._vocabulary = vocabulary
        no_text = (CONTROL, UNKNOWN, BYTE)  # sentencepiece needs these as they are
        self._markers = [i for i in markers if vocabulary.types[i] not in no_text]
        self._plain = _processor(vocabulary, self._markers)

    def encode(self, text: str, *, is_start: bool, parse_markers: bool) -> list[int]:
        """Ids of a text that is not empty; `is_start` where a prefix space is due."""
        processor = self._complete if parse_markers and self._markers else self._plain
        if is_start and self.adds_space:
            text = f" {text}"
        return long_texts.encode(text, self._boundary, processor.encode)

    def piece_bytes(self, piece: bytes, type_id: int) -> bytes:
        """The text bytes that a piece stands for."""
        if type_id == BYTE:
            match = _BYTE_PIECE.fullmatch(piece)
            return bytes.fromhex(match[1].decode()) if match else b""
        if type_id == UNKNOWN:
            unknown = self._vocabulary.unknown_id
            is_it = unknown is not None and piece == self._vocabulary.pieces[unknown]
            return " \u2047 ".encode() if is_it else b""  # sentencepiece's own surface of it
        return piece.replace(_SPACE.encode(), b" ")

    @cached_property
    def _complete(self) -> Any:
        """The processor for text in which markers are meant."""
        return _processor(self._vocabulary, [])

    @cached_property
    def _boundary(self) -> re.Pattern[str]:
        """Where no piece can span: at a newline or before a space, if no piece has these inside."""
        inner = {
            c
            for piece, type_id in zip(self._vocabulary.pieces, self._vocabulary.types, strict=True)
            if type_id not in (CONTROL, BYTE, UNKNOWN)
            for c in ("\n", _SPACE)
            if c in (piece.decode().lstrip(_SPACE) if c == _SPACE else piece.decode())
        }
        places = {"\n": r"(?<=\n)", _SPACE: r"(?<=[^ \u2581])(?=[ \u2581])"}
        return re.compile("|".join(places[b] for b in places if b not in inner) or "(?!)")


def _processor(vocabulary: Vocabulary, markers: Iterable[int]) -> Any:
    """A sentencepiece processor for the vocabulary, in which `markers` are control tokens."""
    types, unknown = sentencepiece_types(vocabulary)
    for i in markers:
        types[i] = CONTROL
    model = spm.ModelProto()
    for i, (piece, score) in enumerate(zip(vocabulary.pieces, vocabulary.scores, strict=True)):
        text, type_id = piece_text(vocabulary.path, piece), types[i]
        if not text:  # sentencepiece takes none: one that no text becomes
            text, type_id = f"{_NOTHING}{i}", CONTROL
        model.pieces.add(piece=text, score=score, type=type_id)
    if unknown == len(vocabulary.pieces):  # which nothing becomes: all bytes have tokens
        model.pieces.add(piece=_NOTHING, type=UNKNOWN)
    model.trainer_spec.model_type = spm.TrainerSpec.BPE
    model.trainer_spec.byte_fallback = True
    model.trainer_spec.vocab_size = len(model.pieces)
    model.trainer_spec.unk_id = unknown
    for name, special in (("bos", b"<s>"), ("eos", b"</s>"), ("pad", b"<pad>")):
        known = [i for i, t in enumerate(types) if t == CONTROL and vocabulary.pieces[i] == special]
        setattr(model.trainer_spec, f"{name}_id", known[0] if known else -1)
    model.normalizer_spec.name = "identity"
    model.normalizer_spec.add_dummy_prefix = False
    model.normalizer_spec.remove_extra_whitespaces = False
    try:
        return sentencepiece.SentencePieceProcessor(model_proto=model.SerializeToString())
    except RuntimeError as error:
        raise ModelFileError(
            vocabulary.path,
            "tokenizer.ggml.tokens",
            expected="a sentencepiece vocabulary",
            got=str(error),
        ) from error


def _check(vocabulary: Vocabulary) -> None:
    path, key = vocabulary.path, "tokenizer.ggml.tokens"
    if not vocabulary.scores:
        raise ModelFileError(path, "tokenizer.ggml.scores", expected="an array", got="no such key")
    found = [
        _BYTE_PIECE.fullmatch(p)
        for p, t in zip(vocabulary.pieces, vocabulary.types, strict=True)
        if t == BYTE
    ]
    values = {m[1] for m in found if m}
    if len(values) != 256 or len(found) != 256:
        raise ModelFileError(
            path, key, expected="the 256 byte tokens <0x00> to <0xFF>", got=f"{len(values)}"
        )
