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
from numpy.typing import NDArray
from tokenizers import AddedToken, Regex, models, pre_tokenizers
from tokenizers import Tokenizer as _Tokenizer

from halfbyte.errors import ModelFileError, TokenizerError, UnsupportedModelError
from halfbyte.gguf.strings import Strings
from halfbyte.tokenizer import long_texts
from halfbyte.tokenizer.known_parts import KnownParts
from halfbyte.tokenizer.needed_merges import needed_for
from halfbyte.tokenizer.normalization import Normalizer
from halfbyte.tokenizer.pretokenizers import (
    BEGINS_WITH_BOS,
    PRE_TOKENIZERS,
    WHOLE_PIECES_FIRST,
)
from halfbyte.tokenizer.sound_merges import is_sound, now_sound
from halfbyte.tokenizer.vocabulary import (
    CONTROL,
    FLAG_KEYS,
    NO_NORMALIZER,
    NORMALIZER_KEY,
    USER_DEFINED,
    Vocabulary,
    numbers_of,
    piece_text,
    piece_texts,
)

# Letters in every version of Unicode, ours and that of the package's expressions.
_LETTER = (
    "[A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u03b1-\u03c9\u0400-\u0481\u05d0-\u05ea"
    "\u0621-\u064a\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fa5\uac00-\ud7a3]"
)
_JOINT = rf"{_LETTER}[ \n]"
_PROBED = "aBé語"  # a letter of each kind
# Characters of a text that is encoded by what it needs alone, and how many texts are: all is made
# in the time of ten.
_FEW, _N_FEW = 1 << 11, 4


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
        self._pieces, self._merges = Strings.of(vocabulary.pieces), Strings.of(vocabulary.merges)
        self._vocabulary, self._pre = vocabulary, pre
        self._known = KnownParts()
        self._normalizer = Normalizer.of_text(
            vocabulary.normalizer or NO_NORMALIZER,
            lambda expected, got: ModelFileError(
                path, NORMALIZER_KEY, expected=expected, got=repr(got)
            ),
        )
        self._flags = {flag: frozenset(vocabulary.flags.get(flag, ())) for flag in FLAG_KEYS}
        # Some vocabularies lack bytes that hardly occur; the package would drop them silently.
        short = {self._pieces[i] for i in np.flatnonzero(self._pieces.lengths <= 2).tolist()}
        self._spelled = bytes(sorted(b for c, b in BYTES.items() if c.encode() in short))
        whole = vocabulary.ignore_merges
        self._whole = pre in WHOLE_PIECES_FIRST if whole is None else whole
        shown = np.flatnonzero(numbers_of(vocabulary.types) == USER_DEFINED).tolist()
        self._shown = [i for i in shown if i not in markers]
        self._n_few = 0
        if not is_sound(self._pieces, self._merges):
            self._plain  # noqa: B018
            now_sound(self._pieces, self._merges)

    def encode(self, text: str, *, is_start: bool, parse_markers: bool) -> list[int]:
        """Ids of a text that is not empty; beginnings are no different."""
        if len(self._spelled) < len(BYTES):
            self._check_bytes(text)
        tokenizer = self._complete if parse_markers else self._plain_for(text)
        try:
            return long_texts.encode(
                text,
                lambda: self._boundary,
                lambda part: tokenizer.encode(part, add_special_tokens=False).ids,
                self._known,
                parse_markers,
            )
        except BaseException as error:
            if not _is_panic(error):
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
        return self._build(
            self._model, [i for i, t in enumerate(types) if t in (CONTROL, USER_DEFINED)]
        )

    @cached_property
    def _plain(self) -> _Tokenizer:
        """The tokenizer for a user's text."""
        return self._build(self._model, self._shown)

    def _plain_for(self, text: str) -> _Tokenizer:
        """The same, of what a text can need where that will do: a start has one, a short one."""
        if "_plain" in self.__dict__ or len(text) > _FEW or self._normalizer.backend is not None:
            return self._plain
        self._n_few += 1
        if self._n_few > _N_FEW:
            return self._plain
        spelled = text.encode().decode("latin-1").translate(_FROM_LATIN_1)
        pieces, merges = needed_for(spelled.encode(), self._pieces, self._merges)
        raw = text.encode()
        here = [piece for i in self._shown if (piece := self._pieces[i]) in raw]
        firsts = [i for i in map(self._pieces.find, here) if i is not None]  # of equal ones
        return self._build(self._bpe(sorted({*pieces, *self._shown, *firsts}), merges), self._shown)

    @cached_property
    def _model(self) -> Any:
        """Of all merges.

        Raises:
            ModelFileError: one is no pair of pieces.
        """
        return self._bpe(range(len(self._pieces)), self._merges)

    def _bpe(self, ids: Sequence[int], merges: Sequence[bytes]) -> Any:
        """The package's model of some pieces and merges; ModelFileError where they don't fit."""
        path = self._vocabulary.path
        all_of_them = len(ids) == len(self._pieces)
        some = self._pieces if all_of_them else [self._pieces[i] for i in ids]
        texts = piece_texts(path, some)
        # A file may repeat a piece; the first is the one that text becomes.
        vocabulary = dict(zip(reversed(texts), reversed(ids), strict=True))
        pairs = merge_pairs(path, merges)
        try:
            return models.BPE(vocabulary, pairs, ignore_merges=self._whole)
        except BaseException as error:  # the package raises plain Exception, or panics
            if not isinstance(error, Exception) and not _is_panic(error):
                raise
            raise ModelFileError(
                path, "tokenizer.ggml.merges", expected="pairs of pieces", got=str(error)
            ) from error

    def _build(self, model: Any, added: Sequence[int]) -> _Tokenizer:
        """A tokenizer that finds the tokens `added` before text is cut."""
        tokenizer = _Tokenizer(model)
        tokenizer.pre_tokenizer = cutter(PRE_TOKENIZERS[self._pre])
        if self._normalizer.backend is not None:
            tokenizer.normalizer = self._normalizer.backend
        tokenizer.add_tokens([self._added_token(i) for i in added if self._pieces[i]])
        return tokenizer

    def _added_token(self, i: int) -> AddedToken:
        flags = {flag: i in ids for flag, ids in self._flags.items()}
        return AddedToken(self._text_of(i), **flags)

    def _text_of(self, i: int) -> str:
        return piece_text(self._vocabulary.path, self._pieces[i])

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
        piece = self._text_of(i)
        return (
            re.search(_JOINT, piece) is not None
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

    def all_bytes(self, pieces: Strings, types: NDArray[np.uint8]) -> Strings:
        """The text bytes of all pieces."""
        data = pieces.bytes_of_all
        raw = data.tobytes()
        spelled = np.frombuffer(bytearray(raw), np.uint8)[:-1]  # characters of one byte are it
        strange = np.frombuffer(bytearray(raw.translate(_STRANGE_ONE)), np.bool_)
        longer = np.flatnonzero(data[:-1] >= _TWO)
        found_there = _BYTE_OF_TWO[data[longer].astype(np.int64) << 8 | data[longer + 1]]
        spelled[longer], strange[longer] = found_there.astype(np.uint8), found_there < 0
        begins = (data[:-1] & 0xC0) != 0x80  # a character
        places = np.append(np.int32(0), begins.cumsum(dtype=np.int32))
        starts, ends = pieces.starts, pieces.starts + pieces.lengths
        lengths = (places[ends] - places[starts]).astype(np.int64)
        text = spelled[begins].tobytes()
        found = Strings(text, places[starts].astype(np.int64), lengths)
        strange[:-1] &= begins
        parts = np.stack([starts, ends], axis=1).ravel()
        is_other = np.logical_or.reduceat(strange, parts)[::2] & (pieces.lengths > 0)
        is_other |= types == USER_DEFINED
        return found.but({
            i: self.piece_bytes(pieces[i], int(types[i])) for i in np.flatnonzero(is_other).tolist()
        })  # fmt: skip


def _is_panic(error: BaseException) -> bool:
    """A fault of the package, which is no Exception."""
    return type(error).__name__ == "PanicException"


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

_FROM_LATIN_1 = {b: c for c, b in BYTES.items()}

# Which bytes are no characters of the alphabet by themselves; what those of two bytes stand for, or
# -1.
_TWO = 0xC0  # begins characters of two bytes, or more
_STRANGE_ONE = bytes(chr(b) not in BYTES or b >= 0x80 for b in range(256))
_BYTE_OF_TWO = np.full(1 << 16, -1, np.int16)
for _char, _byte in BYTES.items():
    if len(_char.encode()) == 2:
        _BYTE_OF_TWO[int.from_bytes(_char.encode(), "big")] = _byte


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
