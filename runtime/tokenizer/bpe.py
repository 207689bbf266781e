"""Byte-level BPE vocabularies ("gpt2"), encoded by the `tokenizers` package.

Pieces are spelled in an alphabet of 256 printable characters, one per byte. How a text is cut
before merging (`tokenizer.ggml.pre`) differs from family to family, see pretokenizers.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from tokenizers import AddedToken, Regex, models, pre_tokenizers
from tokenizers import Tokenizer as _Tokenizer

from halfbyte.errors import ModelFileError, TokenizerError, UnsupportedModelError
from halfbyte.tokenizer import long_texts
from halfbyte.tokenizer.known_parts import KnownParts
from halfbyte.tokenizer.normalization import Normalizer
from halfbyte.tokenizer.piece_index import JoinedPieces
from halfbyte.tokenizer.pretokenizers import (
    BEGINS_WITH_BOS,
    PRE_TOKENIZERS,
    WHOLE_PIECES_FIRST,
)
from halfbyte.tokenizer.vocabulary import (
    CONTROL,
    FLAG_KEYS,
    NO_NORMALIZER,
    NORMALIZER_KEY,
    USER_DEFINED,
    Vocabulary,
    piece_texts,
)

# Letters in every version of Unicode, ours and that of the package's expressions.
_LETTER = (
    "[A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u03b1-\u03c9\u0400-\u0481\u05d0-\u05ea"
    "\u0621-\u064a\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fa5\uac00-\ud7a3]"
)
_JOINT = re.compile(rf"{_LETTER}[ \n]")
_PROBED = "aBé語"  # a letter of each kind


class ByteLevelBackend:
    """Encodes with the `tokenizers` package, whose text is bytes in GPT-2's alphabet.

    Two tokenizers on one model: the one that reads a user's text knows no markers.
    """

    kind = "bpe"
    adds_space = False
    space_again = False

    def __init__(self, vocabulary: Vocabulary, markers: frozenset[int]) -> None:
        path, pre = vocabulary.path, vocabulary.pre
        if pre not in PRE_TOKENIZERS:
            raise UnsupportedModelError(
                path,
                "tokenizer.ggml.pre",
                expected="a name of llama.cpp's, as gpt-2 or qwen2",
                got=pre,
            )
        # Files of Llama 3 need not say that a prompt begins with BOS: as in llama.cpp, pre tells.
        self.default_add_bos = pre in BEGINS_WITH_BOS and "bos" in vocabulary.special
        self._pieces = piece_texts(path, vocabulary.pieces)
        self._vocabulary, self._pre = vocabulary, pre
        self._known = KnownParts()
        self._normalizer = Normalizer.of_text(
            vocabulary.normalizer or NO_NORMALIZER,
            lambda expected, got: ModelFileError(
                path, NORMALIZER_KEY, expected=expected, got=repr(got)
            ),
        )
        self._flags = {flag: frozenset(vocabulary.flags.get(flag, ())) for flag in FLAG_KEYS}
        # A file may repeat a piece; the first is the one that text becomes.
        backwards = range(len(self._pieces) - 1, -1, -1)
        ids = dict(zip(reversed(self._pieces), backwards, strict=True))
        pairs = merge_pairs(path, vocabulary.merges)
        # Some vocabularies lack bytes that hardly occur; the package would drop them silently.
        self._spelled = bytes(sorted(BYTES[c] for c in BYTES.keys() & ids.keys()))
        try:
            whole = vocabulary.ignore_merges
            whole = pre in WHOLE_PIECES_FIRST if whole is None else whole
            self._model = models.BPE(ids, pairs, ignore_merges=whole)
        except Exception as error:  # the package raises plain Exception
            raise ModelFileError(
                path, "tokenizer.ggml.merges", expected="pairs of pieces", got=str(error)
            ) from error
        types = vocabulary.types
        self._plain = self._build(
            i for i, t in enumerate(types) if t == USER_DEFINED and i not in markers
        )

    def encode(self, text: str, *, is_start: bool, parse_markers: bool) -> list[int]:
        """Ids of a text that is not empty; beginnings are no different."""
        if len(self._spelled) < len(BYTES):
            self._check_bytes(text)
        tokenizer = self._complete if parse_markers else self._plain
        try:
            return long_texts.encode(
                text,
                lambda: self._boundary,
                lambda part: tokenizer.encode(part, add_special_tokens=False).ids,
                self._known,
                parse_markers,
            )
        except BaseException as error:
            if type(error).__name__ != "PanicException":  # a fault of the package: no Exception
                raise
            raise TokenizerError(f"text: the tokenizers package fails on it: {error}") from error

    def _check_bytes(self, text: str) -> None:
        normalizer = self._normalizer.backend
        spelled = text if normalizer is None else normalizer.normalize_str(text)
        absent = spelled.encode().translate(None, self._spelled)
        if absent:
            raise TokenizerError(f"text: this vocabulary has no token for byte {min(absent):#04x}")

    @cached_property
    def _complete(self) -> _Tokenizer:
        """The tokenizer for text in which special tokens are meant."""
        types = self._vocabulary.types
        return self._build(i for i, t in enumerate(types) if t in (CONTROL, USER_DEFINED))

    def _build(self, added: Iterable[int]) -> _Tokenizer:
        """A tokenizer that finds the tokens `added` before text is cut."""
        tokenizer = _Tokenizer(self._model)
        tokenizer.pre_tokenizer = cutter(PRE_TOKENIZERS[self._pre])
        if self._normalizer.backend is not None:
            tokenizer.normalizer = self._normalizer.backend
        tokenizer.add_tokens([self._added_token(i) for i in added if self._pieces[i]])
        return tokenizer

    def _added_token(self, i: int) -> AddedToken:
        flags = {flag: i in ids for flag, ids in self._flags.items()}
        return AddedToken(self._pieces[i], **flags)

    @cached_property
    def _boundary(self) -> re.Pattern[str]:
        """Behind a letter, before a newline or a word, where text is always cut there.

        All pre-tokenizers cut at such newlines but "superbpe", which leaves lines whole, and most
        between words. An added token may join the two as well, and a normalizer may see ends.
        """
        added = (i for i, t in enumerate(self._vocabulary.types) if t in (CONTROL, USER_DEFINED))
        if not self._normalizer.is_local or any(self._may_join(i) for i in added):
            return re.compile("(?!)")
        return boundary_of(self._plain.pre_tokenizer)

    def _may_join(self, i: int) -> bool:
        """Whether an added token spans such a place, takes what is behind it or sees before it."""
        piece = self._pieces[i]
        return (
            _JOINT.search(piece) is not None
            or (i in self._flags["rstrip"] and re.search(rf"{_LETTER}\Z", piece) is not None)
            or (i in self._flags["single_word"] and piece.startswith(("\n", " ")))
        )

    def piece_bytes(self, piece: bytes, type_id: int) -> bytes:
        """The text bytes that a piece stands for."""
        if type_id == USER_DEFINED:
            return piece
        try:
            return piece.decode().translate(_TO_LATIN_1).encode("latin-1")
        except UnicodeEncodeError:  # not spelled in the alphabet: an added token, plain text
            return piece

    def all_bytes(self, pieces: list[bytes], types: list[int]) -> JoinedPieces:
        """The text bytes of all pieces."""
        codes = np.frombuffer("".join(self._pieces).encode("utf-32-le"), np.uint32)
        spelled = _BYTE_OF[np.minimum(codes, len(_BYTE_OF) - 1)]
        text = spelled.astype(np.uint8).tobytes()
        lengths = np.fromiter(map(len, self._pieces), np.int64, len(self._pieces))
        ends = lengths.cumsum()
        others = set(np.searchsorted(ends, np.flatnonzero(spelled < 0), side="right").tolist())
        others.update(i for i, type_id in enumerate(types) if type_id == USER_DEFINED)
        parts, done = list[bytes](), 0
        for i in sorted(others):
            parts += text[done : ends[i] - lengths[i]], self.piece_bytes(pieces[i], types[i])
            done = int(ends[i])
            lengths[i] = len(parts[-1])
        return JoinedPieces(b"".join([*parts, text[done:]]), lengths)


def cutter(patterns: Iterable[str]) -> Any:
    """What cuts a text at `patterns` and spells the bytes of its parts."""
    cuts = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns]
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([*cuts, byte_level])


def boundary_of(pre_tokenizer: Any) -> re.Pattern[str]:
    """Where a text may be cut before the expressions cut it: they cut there, whatever is around."""

    def cuts(text: str) -> bool:
        return any(begin == 1 for _, (begin, _) in pre_tokenizer.pre_tokenize_str(text))

    places = []
    if all(cuts(f"{a}\n{b}") for a in _PROBED for b in _PROBED):
        places.append("\n")
    if all(cuts(f"{a} {b}") for a in _PROBED for b in _PROBED):
        places.append(f" {_LETTER}")
    return re.compile(rf"(?<={_LETTER})(?={'|'.join(places)})" if places else "(?!)")


def _byte_alphabet() -> dict[str, int]:
    """Character -> byte: printable Latin-1 characters are themselves, the rest follows U+0100.

    Source: Radford et al., GPT-2's encoder.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in printable]
    return {chr(b): b for b in printable} | {chr(0x100 + i): b for i, b in enumerate(others)}


BYTES = _byte_alphabet()  # character -> byte
# The Latin-1 characters outside the alphabet lead to one that Latin-1 cannot encode.
_TO_LATIN_1 = dict.fromkeys(range(256), 0xFFFF) | {ord(c): b for c, b in BYTES.items()}

_BYTE_OF = np.full(max(map(ord, BYTES)) + 2, -1, np.int16)  # by character; the last is any other
_BYTE_OF[[ord(c) for c in BYTES]] = list(BYTES.values())


def merge_pairs(path: str, merges: Sequence[bytes]) -> list[tuple[str, str]]:
    """The two pieces of each merge; ModelFileError where one has no two."""
    pairs = []
    for i, text in enumerate(piece_texts(path, merges)):
        left, _, right = text.partition(" ")
        if not (left and right):
            raise ModelFileError(
                path, f"tokenizer.ggml.merges[{i}]", expected="two pieces", got=repr(merges[i])
            )
        pairs.append((left, right))
    return pairs
