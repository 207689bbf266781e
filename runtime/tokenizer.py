"""Text to token ids and back, from a GGUF file's vocabulary alone.

Two kinds of vocabulary: sentencepiece BPE ("llama") and byte-level BPE ("gpt2"); each has a
backend that turns text into ids. What is common stands here: BOS, special tokens, decoding.
User text never becomes a control token.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from halfbyte.errors import ModelFileError, TokenizerError, UnsupportedModelError
from halfbyte.gguf_file import GGUFFile
from halfbyte.gguf_metadata import Metadata

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6

# Tokens that end a text in files that do not name them by key.
_END_PIECES = (
    "</s>", "<|endoftext|>", "<|im_end|>", "<|eot_id|>", "<|end_of_text|>", "<|eom_id|>",
    "▁<EOT>", "<|end|>",
)  # fmt: skip

DECODE_ERRORS = "halfbyte-byte-by-byte"
codecs.register_error(
    DECODE_ERRORS,
    lambda error: ("\ufffd" * (error.end - error.start), error.end),  # type: ignore[attr-defined]
)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The pieces of a vocabulary: bytes as they stand in the file, type ids, scores if any."""

    path: str
    pieces: list[bytes]
    types: list[int]
    scores: list[float]


class Backend(Protocol):
    """A kind of vocabulary."""

    kind: str
    default_add_bos: bool
    strips_space: bool

    def encode(self, text: str) -> list[int]:
        """Ids of a text without special tokens."""

    def piece_bytes(self, piece: bytes, type_id: int) -> bytes:
        """The text bytes that a piece stands for."""


class Tokenizer:
    """The tokenizer of a model."""

    def __init__(self, vocabulary: Vocabulary, backend: Backend, metadata: Metadata) -> None:
        self.kind = backend.kind
        self.n_vocab = len(vocabulary.pieces)
        self._vocabulary, self._backend = vocabulary, backend
        self._bytes: list[bytes | None] = [None] * self.n_vocab
        self._ids: dict[bytes, int] = {}
        for i, piece in enumerate(vocabulary.pieces):
            self._ids.setdefault(piece, i)
        self.bos_id = self._special(metadata, "bos")
        self.eos_id = self._special(metadata, "eos")
        self._add_bos = metadata.get_bool("tokenizer.ggml.add_bos_token", backend.default_add_bos)
        self.eog_ids = self._end_ids(metadata)

    @classmethod
    def from_gguf(cls, file: GGUFFile) -> Tokenizer:
        """The tokenizer that a file describes.

        Raises:
            ModelFileError: the vocabulary is incomplete or inconsistent.
            UnsupportedModelError: a kind of vocabulary that is not known here.
        """
        m = file.metadata
        vocabulary = _read_vocabulary(m)
        model = m.get_str("tokenizer.ggml.model")
        if model == "llama":
            from halfbyte.tokenizer_spm import SentencePieceBackend

            add_prefix = m.get_bool("tokenizer.ggml.add_space_prefix", True)
            return cls(vocabulary, SentencePieceBackend(vocabulary, add_prefix), m)
        if model == "gpt2":
            from halfbyte.tokenizer_bpe import ByteLevelBackend

            merges = m.get_strings("tokenizer.ggml.merges")
            pre = m.get_str("tokenizer.ggml.pre", "default")
            return cls(vocabulary, ByteLevelBackend(vocabulary, merges, pre), m)
        raise UnsupportedModelError(
            m.path, "tokenizer.ggml.model", expected="llama or gpt2", got=model
        )

    def encode(self, text: str, *, add_bos: bool | None = None) -> list[int]:
        """Ids of a text; BOS first where the model wants it, or as `add_bos` says.

        Raises:
            TokenizerError: the text holds lone surrogates, or BOS is asked for and there is none.
        """
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise TokenizerError(
                f"text: expected Unicode characters, got a lone surrogate at {error.start}"
            ) from error
        wanted = self._add_bos if add_bos is None else add_bos
        ids = self._backend.encode(text) if text else []
        if not wanted:
            return ids
        if self.bos_id is None:
            raise TokenizerError("this vocabulary has no BOS token", hint="use add_bos=False")
        return [self.bos_id, *ids]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids: control tokens give nothing; bytes that are not UTF-8 give U+FFFD.

        The space that sentencepiece puts before a text's first word is taken off.
        """
        text = b"".join(self.token_bytes(i) for i in ids)
        if self._backend.strips_space and text.startswith(b" "):
            text = text[1:]
        return text.decode(errors=DECODE_ERRORS)

    def token_bytes(self, token: int) -> bytes:
        """The text bytes of one token; none for control tokens."""
        self._check(token)
        known = self._bytes[token]
        if known is None:
            type_id = self._vocabulary.types[token]
            piece = self._vocabulary.pieces[token]
            known = b"" if type_id == CONTROL else self._backend.piece_bytes(piece, type_id)
            self._bytes[token] = known
        return known

    def piece(self, token: int) -> str:
        """A token's piece as it stands in the vocabulary."""
        self._check(token)
        return self._vocabulary.pieces[token].decode(errors="backslashreplace")

    def id_of(self, piece: str) -> int | None:
        """The id of a piece, or None."""
        return self._ids.get(piece.encode(errors="surrogatepass"))

    def is_control(self, token: int) -> bool:
        """Whether a token is for control, and so has no text."""
        self._check(token)
        return self._vocabulary.types[token] == CONTROL

    def _check(self, token: int) -> None:
        if not 0 <= token < self.n_vocab:
            raise TokenizerError(f"token id: expected 0 to {self.n_vocab - 1}, got {token}")

    def _special(self, m: Metadata, name: str) -> int | None:
        key = f"tokenizer.ggml.{name}_token_id"
        if key not in m:
            return None
        return m.get_int(key, maximum=self.n_vocab - 1)

    def _end_ids(self, m: Metadata) -> frozenset[int]:
        ids = {self._special(m, name) for name in ("eos", "eot", "eom")}
        ids |= {self.id_of(piece) for piece in _END_PIECES}
        return frozenset(i for i in ids if i is not None)


def _read_vocabulary(m: Metadata) -> Vocabulary:
    pieces = m.get_strings("tokenizer.ggml.tokens")
    if not pieces:
        raise ModelFileError(m.path, "tokenizer.ggml.tokens", expected="tokens", got="none")
    types = _numbers(m, "tokenizer.ggml.token_type", len(pieces), floats=False)
    scores = _numbers(m, "tokenizer.ggml.scores", len(pieces), floats=True)
    bad = [t for t in types if not NORMAL <= t <= BYTE]
    if bad:
        raise ModelFileError(m.path, "tokenizer.ggml.token_type", expected="1 to 6", got=bad[0])
    return Vocabulary(m.path, pieces, [int(t) for t in types] or [NORMAL] * len(pieces), scores)


def _numbers(m: Metadata, key: str, n: int, *, floats: bool) -> list[float]:
    if key not in m:
        return []
    values = m.get_numbers(key, floats=floats)
    if len(values) != n:
        raise ModelFileError(m.path, key, expected=f"{n} numbers, one a token", got=len(values))
    with np.errstate(invalid="ignore"):  # casting a signalling NaN warns
        is_finite = not floats or bool(np.isfinite(values.astype(np.float64)).all())
    if not is_finite:
        raise ModelFileError(m.path, key, expected="finite numbers", got="NaN or infinity")
    return list(values.tolist())
