"""Sentencepiece BPE vocabularies ("llama"): the model is rebuilt from pieces, scores and types."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np
import sentencepiece
from numpy.typing import NDArray
from sentencepiece import sentencepiece_model_pb2 as spm

from halfbyte.errors import ModelFileError
from halfbyte.gguf.strings import Strings
from halfbyte.tokenizer import long_texts
from halfbyte.tokenizer.known_parts import KnownParts
from halfbyte.tokenizer.sentencepiece_file import RULES, charsmap
from halfbyte.tokenizer.token_flags import TokenFlags
from halfbyte.tokenizer.vocabulary import (
    ALWAYS,
    BYTE,
    CONTROL,
    EACH,
    FIRST,
    ONCE,
    RULE_KEY,
    SPACING_KEY,
    UNKNOWN,
    USER_DEFINED,
    Vocabulary,
    piece_text,
    sentencepiece_types,
)

_SPACE = "\u2581"
_NOTHING = "\ufdd0"  # no character
_SPACES = f" {_SPACE}"
_Search = tuple[re.Pattern[str], dict[str, int]]  # for added tokens, and their ids
_NOWHERE = re.compile("(?!)")
_BYTE_PIECE = re.compile(rb"<0x([0-9A-F]{2})>")


class SentencePieceBackend:
    """Encodes with sentencepiece itself, with byte fallback.

    At Llama's settings, without any normalization, the space before a text is put here and not by
    sentencepiece, so that one processor encodes beginnings and fragments. Otherwise a fragment is
    encoded as sentencepiece does a text before which no space is put.

    Markers have the type of control tokens in the processor that reads a user's text, which is the
    same as a vocabulary without them.
    """

    kind = "spm"
    default_add_bos = True

    def __init__(self, vocabulary: Vocabulary, markers: frozenset[int]) -> None:
        self.adds_space = vocabulary.add_space_prefix
        _check(vocabulary)
        self._vocabulary = vocabulary
        no_text = (CONTROL, UNKNOWN, BYTE)  # sentencepiece needs these as they are
        self._markers = [i for i in markers if vocabulary.types[i] not in no_text]
        self.space_again = vocabulary.spacing in (EACH, ALWAYS)
        self._flags = TokenFlags(vocabulary.flags)
        self._added = {
            parses: self._searches(i for i in vocabulary.added if parses or i not in markers)
            for parses in (False, True)
        }
        self._puts_space = self.adds_space and not _sees_spaces(vocabulary)
        self._heeds_space = vocabulary.spacing in (ALWAYS, FIRST)
        self._known = KnownParts()
        self._made: dict[tuple[bool, bool], Any] = {}
        self._processors: dict[tuple[bool, bool], Any] = {}  # the same by what a call asks for
        self._processor_for(False, True)

    def encode(self, text: str, *, is_start: bool, parse_markers: bool) -> list[int]:
        """Ids of a text that is not empty; `is_start` where a prefix space is due."""
        searches = self._added[parse_markers]
        if not searches:
            return self._part(text, is_start, parse_markers)
        return self._parts(text, is_start, parse_markers, searches)

    def _parts(self, text: str, is_start: bool, parses: bool, searches: list[_Search]) -> list[int]:
        """Ids of a text in which each of the searches parts what the ones before left."""
        if not searches:
            return self._part(text, is_start, parses)
        (pattern, known), rest = searches[0], searches[1:]
        ids: list[int] = []
        done = 0
        for found in pattern.finditer(text):
            span = self._flags.taken(known[found[0]], text, found.span(), done)
            if span is None:
                continue
            ids += self._parts(text[done : span[0]], is_start, parses, rest)
            ids.append(known[found[0]])
            done, is_start = span[1], self.space_again
        return ids + self._parts(text[done:], is_start, parses, rest)

    def _searches(self, ids: Iterable[int]) -> list[_Search]:
        """The searches for added tokens: those with the flag "normalized" come second."""
        v = self._vocabulary
        normalized = frozenset(v.flags.get("normalized", ()))
        found: tuple[dict[str, int], dict[str, int]] = ({}, {})
        for i in ids:
            if v.pieces[i]:
                found[i in normalized][piece_text(v.path, v.pieces[i])] = i
        return [(_longest_first(known), known) for known in found if known]

    def _part(self, text: str, is_start: bool, parses: bool) -> list[int]:
        """Ids of a text in which no added tokens are searched for."""
        if not text:
            return []
        processor = self._processors.get((parses, is_start))
        if processor is None:
            processor = self._processor_for(parses, is_start)
        if is_start and self._puts_space and not (self._heeds_space and text[0] in _SPACES):
            text = f" {text}"
        puts_its_own = self._has_own_space(is_start)
        return long_texts.encode(
            text,
            lambda: _NOWHERE if puts_its_own else self._boundary,
            processor.encode,
            self._known,
            (parses, puts_its_own),
        )

    def _has_own_space(self, is_start: bool) -> bool:
        """Whether sentencepiece puts the space before a text: then before each of its parts."""
        return is_start and self.adds_space and not self._puts_space

    def _processor_for(self, parses: bool, is_start: bool) -> Any:
        """The processor for a beginning, or for a fragment; `parses` where markers are meant."""
        v = self._vocabulary
        adds_space = self._has_own_space(is_start)
        markers = [] if parses else self._markers
        usual = parses and bool(self._markers), adds_space
        if usual not in self._made:
            hidden = [i for i in v.added if v.types[i] == USER_DEFINED]
            self._made[usual] = _processor(v, [*hidden, *markers], adds_space)
        self._processors[parses, is_start] = self._made[usual]
        return self._made[usual]

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

    def all_bytes(self, pieces: Strings, types: NDArray[np.uint8]) -> Strings:
        """The text bytes of all pieces."""
        each = zip(pieces, types.tolist(), strict=True)
        return Strings.of([self.piece_bytes(piece, type_id) for piece, type_id in each])

    @cached_property
    def _boundary(self) -> re.Pattern[str]:
        """Where no piece can span: at a newline or before a space, if no piece has these inside.

        Nowhere, where sentencepiece takes spaces off the ends of a text, or spells it anew.
        """
        if self._vocabulary.is_spelled_anew:
            return _NOWHERE
        inner = {
            c
            for piece, type_id in zip(self._vocabulary.pieces, self._vocabulary.types, strict=True)
            if type_id not in (CONTROL, BYTE, UNKNOWN)
            for c in ("\n", _SPACE)
            if c in (piece.decode().lstrip(_SPACE) if c == _SPACE else piece.decode())
        }
        places = {"\n": r"(?<=\n)", _SPACE: r"(?<=[^ \u2581])(?=[ \u2581])"}
        return re.compile("|".join(places[b] for b in places if b not in inner) or _NOWHERE)


def _longest_first(texts: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, sorted(texts, key=len, reverse=True))))


def _sees_spaces(v: Vocabulary) -> bool:
    """Whether a space that a text begins with is not the same as one that is put before it."""
    return v.is_spelled_anew or any(
        type_id == USER_DEFINED and piece.startswith(b" ") and i not in v.added
        for i, (piece, type_id) in enumerate(zip(v.pieces, v.types, strict=True))
    )


def _processor(vocabulary: Vocabulary, markers: Iterable[int], adds_space: bool) -> Any:
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
    spelling = model.normalizer_spec
    spelling.name = vocabulary.normalization_rule
    spelling.precompiled_charsmap = charsmap(vocabulary.normalization_rule)
    spelling.add_dummy_prefix = adds_space
    spelling.remove_extra_whitespaces = vocabulary.remove_extra_whitespaces
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
    if vocabulary.normalization_rule not in RULES:
        got = vocabulary.normalization_rule
        raise ModelFileError(path, RULE_KEY, expected=", ".join(RULES), got=got)
    if vocabulary.spacing not in (EACH, ONCE, ALWAYS, FIRST):
        expected = ", ".join((ONCE, ALWAYS, FIRST))
        raise ModelFileError(path, SPACING_KEY, expected=expected, got=vocabulary.spacing)
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
