"""Sentencepiece BPE vocabularies ("llama"): the model is rebuilt from pieces, scores and types."""

from __future__ import annotations

import re

import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as spm

from halfbyte.errors import ModelFileError
from halfbyte.tokenizer import BYTE, CONTROL, UNKNOWN, Vocabulary

_SPACE = "\u2581".encode()
_BYTE_PIECE = re.compile(rb"<0x([0-9A-F]{2})>")


class SentencePieceBackend:
    """Encodes with sentencepiece itself.

    The settings are Llama's: no normalization, byte fallback, spaces kept, and a space before the
    text where `add_prefix` is set.
    """

    kind = "spm"
    default_add_bos = True

    def __init__(self, vocabulary: Vocabulary, add_prefix: bool) -> None:
        self.strips_space = add_prefix
        _check(vocabulary)
        model = spm.ModelProto()
        for piece, type_id, score in zip(
            vocabulary.pieces, vocabulary.types, vocabulary.scores, strict=True
        ):
            model.pieces.add(piece=_text(vocabulary.path, piece), score=score, type=type_id)
        model.trainer_spec.model_type = spm.TrainerSpec.BPE
        model.trainer_spec.byte_fallback = True
        model.trainer_spec.vocab_size = len(vocabulary.pieces)
        model.trainer_spec.unk_id = vocabulary.types.index(UNKNOWN)
        control = {i for i, t in enumerate(vocabulary.types) if t == CONTROL}
        for name in ("bos", "eos", "pad"):
            piece = {"bos": b"<s>", "eos": b"</s>", "pad": b"<pad>"}[name]
            known = [i for i in control if vocabulary.pieces[i] == piece]
            setattr(model.trainer_spec, f"{name}_id", known[0] if known else -1)
        model.normalizer_spec.name = "identity"
        model.normalizer_spec.add_dummy_prefix = add_prefix
        model.normalizer_spec.remove_extra_whitespaces = False
        try:
            self._processor = sentencepiece.SentencePieceProcessor(
                model_proto=model.SerializeToString()
            )
        except RuntimeError as error:
            raise ModelFileError(
                vocabulary.path,
                "tokenizer.ggml.tokens",
                expected="a sentencepiece vocabulary",
                got=str(error),
            ) from error

    def encode(self, text: str) -> list[int]:
        """Ids of a text without special tokens."""
        return [int(i) for i in self._processor.encode(text)]

    def piece_bytes(self, piece: bytes, type_id: int) -> bytes:
        """The text bytes that a piece stands for."""
        if type_id == BYTE:
            match = _BYTE_PIECE.fullmatch(piece)
            return bytes.fromhex(match[1].decode()) if match else b""
        if type_id == UNKNOWN:
            return " \u2047 ".encode()  # sentencepiece's own surface of it
        return piece.replace(_SPACE, b" ")


def _check(vocabulary: Vocabulary) -> None:
    path, key = vocabulary.path, "tokenizer.ggml.tokens"
    if not vocabulary.scores:
        raise ModelFileError(path, "tokenizer.ggml.scores", expected="an array", got="no such key")
    n_unknown = vocabulary.types.count(UNKNOWN)
    if n_unknown != 1:
        raise ModelFileError(path, key, expected="one unknown token", got=f"{n_unknown}")
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


def _text(path: str, piece: bytes) -> str:
    try:
        text = piece.decode()
    except UnicodeDecodeError as error:
        raise ModelFileError(
            path, "tokenizer.ggml.tokens", expected="UTF-8 pieces", got=repr(piece)
        ) from error
    if not text:
        raise ModelFileError(path, "tokenizer.ggml.tokens", expected="pieces", got="an empty one")
    return text
