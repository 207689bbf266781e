"""BPE vocabularies whose pieces are plain text, ▁ standing for a space: Gemma 4's, Sarvam's.

Lines are encoded alone; characters that no piece spells become the tokens of their bytes.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import AddedToken, Regex, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as _Tokenizer

from halfbyte.errors import ModelFileError
from halfbyte.gguf.strings import Strings
from halfbyte.tokenizer import long_texts
from halfbyte.tokenizer.bpe import merge_pairs
from halfbyte.tokenizer.known_parts import KnownParts
from halfbyte.tokenizer.pretokenizers import BEGINS_WITH_BOS, PLAIN
from halfbyte.tokenizer.vocabulary import BYTE, CONTROL, USER_DEFINED, Vocabulary, piece_texts

_SPACE = "▁"
_BYTE_PIECE = re.compile("<0x([0-9A-F]{2})>")


class PlainBackend:
    """Encodes with the `tokenizers` package, as llama.cpp does vocabularies of these names.

    "mmbert" puts a space before each line and cuts before spaces; "whitespace" keeps spaces as
    they are.
    """

    kind = "bpe"
    space_again = True

    def __init__(self, vocabulary: Vocabulary, markers: frozenset[int]) -> None:
        path, pre = vocabulary.path, vocabulary.pre
        self._vocabulary, self._markers = vocabulary, markers
        self._known = KnownParts()
        self.adds_space = pre == "mmbert"
        self._spells_spaces = pre != "whitespace"
        self.default_add_bos = pre in BEGINS_WITH_BOS and "bos" in vocabulary.special
        self._pieces = piece_texts(path, vocabulary.pieces)
        ids = {piece: i for i, piece in reversed(list(enumerate(self._pieces)))}
        if not all(f"<0x{byte:02X}>" in ids for byte in range(256)):
            raise ModelFileError(
                path, "tokenizer.ggml.tokens", expected="the tokens <0x00> to <0xFF>", got="fewer"
            )
        pairs = merge_pairs(path, vocabulary.merges)
        try:
            self._model = models.BPE(ids, pairs, byte_fallback=True)
        except Exception as error:  # the package raises plain Exception
            raise ModelFileError(
                path, "tokenizer.ggml.merges", expected="pairs of pieces", got=str(error)
            ) from error
        self._tokenizers: dict[tuple[bool, bool], _Tokenizer] = {}
        self._check_lines(ids)

    def encode(self, text: str, *, is_start: bool, parse_markers: bool) -> list[int]:
        """Ids of a text that is not empty; `is_start` where a prefix space is due."""
        tokenizer = self._tokenizer(is_start, parse_markers)
        return long_texts.encode(
            text,
            lambda: self._boundary,
            lambda part: tokenizer.encode(part, add_special_tokens=False).ids,
            self._known,
            (is_start, parse_markers),
        )

    def piece_bytes(self, piece: bytes, type_id: int) -> bytes:
        """The text bytes that a piece stands for."""
        if type_id == BYTE:
            match = _BYTE_PIECE.fullmatch(piece.decode())
            return bytes.fromhex(match[1]) if match else b""
        is_text = self._spells_spaces and type_id != USER_DEFINED
        return piece.replace(_SPACE.encode(), b" ") if is_text else piece

    def all_bytes(self, pieces: Strings, types: NDArray[np.uint8]) -> Strings:
        """The text bytes of all pieces."""
        each = zip(pieces, types.tolist(), strict=True)
        return Strings.of([self.piece_bytes(piece, type_id) for piece, type_id in each])

    def _check_lines(self, ids: dict[str, int]) -> None:
        """Newlines that are a piece must merge into it, as llama.cpp takes the piece."""
        for piece in ids:
            if self._spells_spaces and piece and not piece.strip("\n"):
                found = self._model.tokenize(piece)
                if [token.value for token in found] != [piece]:
                    raise ModelFileError(
                        self._vocabulary.path, "tokenizer.ggml.merges",
                        expected=f"merges that make {piece!r}", got="none",
                    )  # fmt: skip

    def _tokenizer(self, is_start: bool, parses: bool) -> _Tokenizer:
        key = is_start, parses
        if key not in self._tokenizers:
            types = (CONTROL, USER_DEFINED) if parses else (USER_DEFINED,)
            self._tokenizers[key] = self._build(is_start, types, parses)
        return self._tokenizers[key]

    def _build(self, is_start: bool, types: tuple[int, ...], parses: bool) -> _Tokenizer:
        tokenizer = _Tokenizer(self._model)
        pre = self._vocabulary.pre
        steps: list[Any] = [normalizers.Replace(" ", _SPACE)] if self._spells_spaces else []
        if self.adds_space:
            before = "^" if is_start else r"(?<=\n)"
            steps.append(normalizers.Replace(Regex(rf"{before}(?=[^\n{_SPACE}])"), _SPACE))
        tokenizer.normalizer = normalizers.Sequence(steps)
        cuts = [pre_tokenizers.Split(Regex(PLAIN[pre]), "isolated")]
        if self.adds_space:
            cuts.append(pre_tokenizers.Split(_SPACE, "merged_with_next"))
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(cuts)
        tokenizer.add_tokens(
            [
                AddedToken(piece, normalized=False)
                for i, piece in enumerate(self._pieces)
                if piece
                and self._vocabulary.types[i] in types
                and (parses or i not in self._markers)
            ]
        )
        return tokenizer

    @cached_property
    def _boundary(self) -> re.Pattern[str]:
        """Before a newline that follows no whitespace, unless an added token spans it."""
        joins = any(
            re.search(r"\S\n", piece)
            for piece, type_id in zip(self._pieces, self._vocabulary.types, strict=True)
            if type_id in (CONTROL, USER_DEFINED)
        )
        return re.compile("(?!)" if joins else r"(?<=\S)(?=\n)")
