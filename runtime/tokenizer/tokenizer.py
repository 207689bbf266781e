"""The tokenizer of a model: what all kinds of vocabulary have in common.

A backend turns text into ids; here are BOS, special tokens, markers and decoding. Text of a user
never becomes a control or a marker token, unless the caller says `parse_markers=True`.
"""

from __future__ import annotations

import codecs
import logging
import os
import re
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from halfbyte.call_arguments import check_flag, is_whole
from halfbyte.errors import RequestError, TokenizerError, UnsupportedModelError
from halfbyte.files.file_kinds import is_gguf
from halfbyte.files.file_warnings import warn_about
from halfbyte.gguf.file import GGUFFile
from halfbyte.gguf.strings import Strings
from halfbyte.import_lock import importing, let_forks_wait
from halfbyte.tokenizer.markers import marker_ids
from halfbyte.tokenizer.piece_index import PieceIndex
from halfbyte.tokenizer.token_flags import TokenFlags, checked_spans
from halfbyte.tokenizer.vocabulary import (
    BYTE,
    CONTROL,
    TOOL_USE,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    Vocabulary,
    end_ids,
    numbers_of,
)

log = logging.getLogger(__name__)

DECODE_ERRORS = "halfbyte-byte-by-byte"
codecs.register_error(
    DECODE_ERRORS,
    lambda error: ("\ufffd" * (error.end - error.start), error.end),  # type: ignore[attr-defined]
)


class Backend(Protocol):
    """A kind of vocabulary."""

    kind: str
    default_add_bos: bool
    adds_space: bool
    space_again: bool  # after a special token, too

    def encode(self, text: str, *, is_start: bool, parse_markers: bool) -> list[int]:
        """Ids of a text that is not empty; `is_start` where a prefix space is due."""

    def piece_bytes(self, piece: bytes, type_id: int) -> bytes:
        """The text bytes that a piece stands for."""

    def all_bytes(self, pieces: Strings, types: NDArray[np.uint8]) -> Strings:
        """The text bytes of all pieces."""


class Tokenizer:
    """The tokenizer of a model.

    Attributes:
        kind: "spm" (sentencepiece) or "bpe" (merges, mostly of bytes).
        n_vocab: number of tokens.
        bos_id, eos_id: ids, or None.
        add_bos: whether a prompt begins with BOS.
        eog_ids: the tokens that end a generation.
        marker_ids: tokens that steer the model, among them pieces typed as plain text.
        chat_template: Jinja source, or None.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        if not isinstance(vocabulary, Vocabulary):
            raise RequestError(
                "vocabulary", expected="a Vocabulary", got=repr(vocabulary),
                hint="Tokenizer.from_path reads a file or a folder",
            )  # fmt: skip
        self.marker_ids = marker_ids(vocabulary)
        backend = _backend(vocabulary, self.marker_ids)
        self.path = vocabulary.path
        self.kind = backend.kind
        self.vocabulary, self._backend = vocabulary, backend
        self.n_vocab = len(vocabulary.pieces)
        self._bytes: list[bytes | None] = [None] * self.n_vocab
        self._pieces = Strings.of(vocabulary.pieces)
        self.bos_id = vocabulary.special.get("bos")
        self.eos_id = vocabulary.special.get("eos")
        self._flags = TokenFlags(vocabulary.flags)
        add_bos = backend.default_add_bos if vocabulary.add_bos is None else vocabulary.add_bos
        self.add_bos = add_bos and self.bos_id is not None
        if add_bos and self.bos_id is None:
            warn_about(log, self.path, "no BOS token: prompts begin without one")
        self.eog_ids = end_ids(vocabulary, self.id_of)
        self.chat_template = _chat_template(vocabulary)

    @classmethod
    def from_gguf(cls, file: GGUFFile) -> Tokenizer:
        """The tokenizer that a GGUF file describes.

        Raises:
            ModelFileError: the vocabulary is incomplete or inconsistent.
            UnsupportedModelError: a kind of vocabulary that is not known here.
        """
        if not isinstance(file, GGUFFile):
            raise RequestError("file", expected="a GGUFFile", got=repr(file))
        return cls(Vocabulary.from_metadata(file.metadata))

    @classmethod
    def from_path(cls, path: str | os.PathLike[str]) -> Tokenizer:
        """The tokenizer of a .gguf file, a tokenizer.model, a tokenizer.json or a folder of these.

        Raises:
            MissingFileError: nothing lies there; ModelFileError: nothing usable does.
            UnsupportedModelError: a kind of vocabulary that is not known here.
        """
        if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
            raise RequestError("path", expected="a path", got=repr(path))
        path = Path(path)
        if is_gguf(path):
            with GGUFFile.open(path, strict_types=False) as file:
                return cls.from_gguf(file)
        from halfbyte.tokenizer.files import read_vocabulary

        return cls(read_vocabulary(path))

    def encode(
        self, text: str, *, add_bos: bool | None = None, parse_markers: bool = False
    ) -> list[int]:
        """Ids of a text; BOS first where the model wants it, or as `add_bos` says.

        Args:
            text: any Unicode text.
            add_bos: None does as the vocabulary says.
            parse_markers: read the text as the model's own tokenizer does, which takes text that
                spells a marker for the marker: for Code Llama " <EOT>", for byte-level
                vocabularies every special token.

        Raises:
            TokenizerError: the text holds lone surrogates, or BOS is asked for and there is none.
        """
        check_text(text)
        check_flag("parse_markers", parse_markers)
        wanted = self.add_bos if add_bos is None else check_flag("add_bos", add_bos)
        if not wanted:
            return self._encode(text, is_start=True, parse_markers=parse_markers)
        if self.bos_id is None:
            raise TokenizerError("this vocabulary has no BOS token", hint="use add_bos=False")
        return [self.bos_id, *self._encode(text, is_start=True, parse_markers=parse_markers)]

    def encode_fragment(self, text: str, *, parse_markers: bool = False) -> list[int]:
        """Ids of a text that follows other text: no BOS and no space put before it.

        Raises:
            TokenizerError: the text holds lone surrogates.
        """
        check_text(text)
        check_flag("parse_markers", parse_markers)
        return self._encode(text, is_start=False, parse_markers=parse_markers)

    def encode_rendered(
        self,
        text: str,
        spans: Iterable[tuple[int, int]] | None = None,
        *,
        is_start: bool = True,
        parse_markers: bool = False,
    ) -> list[int]:
        """Ids of a chat template's output, in which special tokens are meant by their text.

        After a special token, sentencepiece vocabularies put the space of a beginning, unless
        their files say otherwise. Tokens take the whitespace beside them that their flags say.

        Args:
            text: what was rendered.
            spans: begin and end of the parts, in order, in which special tokens are looked for;
                None looks everywhere.
            is_start: whether it begins a text, and does not follow other text.
            parse_markers: what lies between special tokens is read as `encode` does with it.

        Raises:
            TokenizerError: the text holds lone surrogates.
        """
        check_text(text)
        ids: list[int] = []
        done = 0
        for begin, end in [(0, len(text))] if spans is None else checked_spans(spans):
            for found in self._special_pattern.finditer(text, begin, end):
                special = self._special_texts[found[0]]
                span = self._flags.taken(special, text, found.span(), done)
                if span is None:
                    continue
                before = text[done : span[0]]
                ids += self._encode(before, is_start=is_start, parse_markers=parse_markers)
                ids.append(special)
                done, is_start = span[1], self._backend.space_again
        return ids + self._encode(text[done:], is_start=is_start, parse_markers=parse_markers)

    def decode(self, ids: Iterable[int], *, strip_prefix_space: bool = True) -> str:
        """The text of ids: control tokens give nothing; bytes that are not UTF-8 give U+FFFD.

        The space that sentencepiece puts before a text's first word, and no other, is taken off,
        unless `strip_prefix_space` is false, as for text from the middle of something.
        """
        check_flag("strip_prefix_space", strip_prefix_space)
        try:
            each = list(ids)
        except TypeError as error:
            raise RequestError("ids", expected="token ids", got=repr(ids)) from error
        text = b"".join(map(self.token_bytes, each))
        if strip_prefix_space and self._backend.adds_space and text.startswith(b" "):
            first = next(i for i in each if self.token_bytes(i))
            text = text[self.vocabulary.types[first] not in (UNKNOWN, BYTE) :]
        return text.decode(errors=DECODE_ERRORS)

    def token_bytes(self, token: int) -> bytes:
        """The text bytes of one token; none for control tokens."""
        self._check(token)
        known = self._bytes[token]
        if known is None:
            type_id = self.vocabulary.types[token]
            piece = self.vocabulary.pieces[token]
            known = b"" if type_id == CONTROL else self._backend.piece_bytes(piece, type_id)
            self._bytes[token] = known
        return known

    def piece(self, token: int) -> str:
        """A token's piece as it stands in the vocabulary."""
        self._check(token)
        return self.vocabulary.pieces[token].decode(errors="backslashreplace")

    def id_of(self, piece: str) -> int | None:
        """The id of a piece, the first of equal ones; or None."""
        if not isinstance(piece, str):
            raise RequestError("piece", expected="a str", got=repr(piece))
        return self._pieces.find(piece.encode(errors="surrogatepass"))

    @cached_property
    def max_piece_nbytes(self) -> int:
        """No token stands for more bytes of text than this."""
        return int(self._pieces.lengths.max())

    @property
    def adds_space(self) -> bool:
        """Whether a text gets a space before it when it is encoded as a beginning."""
        return self._backend.adds_space

    @cached_property
    def text_ids(self) -> list[int]:
        """Tokens that stand for text: no control, unknown, unused or marker tokens."""
        is_text = ~np.isin(numbers_of(self.vocabulary.types), (CONTROL, UNKNOWN, UNUSED))
        is_text[np.array([*self.marker_ids, *self.eog_ids], np.int64)] = False
        found: list[int] = np.flatnonzero(is_text).tolist()
        return found

    @cached_property
    def piece_index(self) -> PieceIndex:
        """The tokens that stand for text, by their bytes."""
        types = numbers_of(self.vocabulary.types)
        return PieceIndex(self._backend.all_bytes(self._pieces, types), self.text_ids)

    @cached_property
    def _special_texts(self) -> dict[str, int]:
        """Texts of special tokens; sentencepiece's normal pieces are none, whatever they spell."""
        types, added = self.vocabulary.types, self.vocabulary.added
        steering = {i for i in self.marker_ids if types[i] == USER_DEFINED or i in added}
        others = np.flatnonzero(np.isin(numbers_of(types), (CONTROL, UNKNOWN))).tolist()
        first_last = sorted(steering.union(others), reverse=True)  # of equal ones
        return {self.piece(i): i for i in first_last if self.vocabulary.pieces[i]}

    @cached_property
    def _special_pattern(self) -> re.Pattern[str]:
        longest_first = sorted(self._special_texts, key=len, reverse=True)
        return re.compile(f"({'|'.join(map(re.escape, longest_first)) or '(?!)'})")

    def _encode(self, text: str, *, is_start: bool, parse_markers: bool) -> list[int]:
        if not text:
            return []
        return self._backend.encode(text, is_start=is_start, parse_markers=parse_markers)

    def _check(self, token: int) -> None:
        if not is_whole(token):
            raise RequestError("token", expected="a token id", got=repr(token))
        if not 0 <= token < self.n_vocab:
            raise TokenizerError(f"token id: expected 0 to {self.n_vocab - 1}, got {token}")


def check_text(text: str, name: str = "text") -> None:
    """Refuse what is not Unicode text.

    Raises:
        RequestError: not a str.
        TokenizerError: lone surrogates.
    """
    if not isinstance(text, str):
        raise RequestError(name, expected="a str", got=repr(text))
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise TokenizerError(
            f"{name}: expected Unicode characters, got a lone surrogate at {error.start}"
        ) from error


def _chat_template(vocabulary: Vocabulary) -> str | None:
    """The default one, or what stands in for it: that for tools, as in llama.cpp, or the first."""
    named = vocabulary.named_templates
    if vocabulary.chat_template is not None or not named:
        return vocabulary.chat_template
    name = TOOL_USE if TOOL_USE in named else next(iter(named))
    text = "no default chat template among %s: %r is used"
    warn_about(log, vocabulary.path, text, ", ".join(named), name)
    return named[name]


def _backend(vocabulary: Vocabulary, markers: frozenset[int]) -> Backend:
    let_forks_wait()
    if vocabulary.model == "llama":
        with importing:
            from halfbyte.tokenizer.spm import SentencePieceBackend

        return SentencePieceBackend(vocabulary, markers)
    if vocabulary.model == "gpt2":
        with importing:
            from halfbyte.tokenizer.pretokenizers import PLAIN

        if vocabulary.pre in PLAIN:
            with importing:
                from halfbyte.tokenizer.plain_bpe import PlainBackend

            return PlainBackend(vocabulary, markers)
        with importing:
            from halfbyte.tokenizer.bpe import ByteLevelBackend

        return ByteLevelBackend(vocabulary, markers)
    raise UnsupportedModelError(
        vocabulary.path, "tokenizer.ggml.model", expected="llama or gpt2", got=vocabulary.model
    )
