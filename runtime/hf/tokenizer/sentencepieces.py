"""The pieces of a sentencepiece model.

Decoding takes one leading space off the very first piece; special tokens come out as they are
spelled; bytes that are no UTF-8 give one U+FFFD each.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from shutil import copyfile
from typing import ClassVar

from halfbyte.call_arguments import check_path
from halfbyte.errors import TokenizerError
from halfbyte.files.file_kinds import is_gguf
from halfbyte.hf.alignment import Span, Tokens
from halfbyte.hf.errors import TokenIdError
from halfbyte.hf.tokenizer.added_tokens import AddedToken
from halfbyte.hf.tokenizer.token_table import TokenTable
from halfbyte.hf.tokenizer.vocabularies import read_gguf, read_sentencepiece, write_sentencepiece
from halfbyte.tokenizer import Tokenizer, Vocabulary
from halfbyte.tokenizer.tokenizer import DECODE_ERRORS
from halfbyte.tokenizer.vocabulary import BYTE

UNDERLINE = "\u2581"  # how pieces spell a space


class SentencePieceModel:
    """Pieces, and text to and from them; it implements `Pieces`.

    Args:
        vocab_file: a tokenizer.model or a .gguf file, or what is read from it.

    Raises:
        ModelFileError: it cannot be read.
    """

    added: ClassVar[Mapping[int, AddedToken]] = {}

    def __init__(self, vocab_file: str | os.PathLike[str] | Vocabulary) -> None:
        if not isinstance(vocab_file, Vocabulary):
            path = Path(check_path("vocab_file", vocab_file))
            vocab_file = read_gguf(path)[0] if is_gguf(path) else read_sentencepiece(path)
        self.vocabulary = vocab_file
        self.core = Tokenizer(vocab_file)
        self.n_pieces = len(vocab_file.pieces)

    def __reduce__(self) -> tuple[type, tuple[Vocabulary]]:
        """Pickle the vocabulary in place of the libraries' objects."""
        return type(self), (self.vocabulary,)

    def id_of(self, piece: str) -> int | None:
        return self.core.id_of(piece)

    def piece(self, token_id: int) -> str:
        try:
            return self.core.piece(token_id)
        except TokenizerError as error:
            raise TokenIdError(str(error)) from None

    def unknown_id(self, unk_token: str | None) -> int | None:
        return self.vocabulary.unknown_id

    def add(self, token: AddedToken, token_id: int) -> int:
        """The id that is asked for: a sentencepiece model does not grow."""
        return token_id

    def to_ids(self, text: str, is_split: bool, tokens: TokenTable) -> list[int]:
        """Ids of a text that has its first space: none is put anywhere.

        That space is dropped again where a special token comes next.
        """
        ids: list[int] = []
        for part, token in tokens.search(text, is_split):
            ids += self.fragment_ids(part) if token is None else [token]
        is_lone_space = len(ids) > 1 and ids[0] == self.core.id_of(UNDERLINE)
        if is_lone_space and tokens.convert_ids_to_tokens(ids[1]) in tokens.all_special_tokens:
            return ids[1:]
        return ids

    def fragment_ids(self, text: str) -> list[int]:
        """Ids of a text in which nothing is searched for."""
        return self.core.encode_fragment(text, parse_markers=True)

    def tokens(
        self, ids: list[int], text: str, tokens: TokenTable,
        *, begins: bool = False, begins_again: bool = False,
    ) -> Tokens:  # fmt: skip
        """The ids of a text with what they stand for.

        `begins` tells that a space was put before the text, `begins_again` after added tokens.
        Where sentencepiece spells a text anew, there are no characters to name.
        """
        if self.vocabulary.is_spelled_anew:
            return Tokens.of_ids(ids)
        walk = _Walk(text, begins)
        types = self.vocabulary.types
        for i in ids:
            added = tokens.added_token(i)
            if added is not None and walk.takes(added):
                walk.owes_space = begins_again
            elif types[i] == BYTE:
                walk.take_byte()
            else:
                walk.take_piece(self.piece(i))
        return Tokens.of_text(ids, walk.spans, walk.words)

    def to_text(self, pieces: Sequence[str], tokens: TokenTable) -> str:
        """The text of pieces; special ones come out as they are spelled."""
        pieces, parts = list(pieces), []
        if pieces and pieces[0].startswith(UNDERLINE) and self.core.adds_space:
            first = pieces.pop(0)
            is_known = self.core.id_of(first) is not None
            parts.append((self._surface(first).decode() if is_known else first)[1:])
        special = set(tokens.all_special_tokens)
        for is_special, run in groupby(pieces, special.__contains__):
            if is_special:
                parts += run
            else:
                parts.append(b"".join(map(self._surface, run)).decode(errors=DECODE_ERRORS))
        return "".join(parts)

    def decode(self, ids: list[int], tokens: TokenTable, skips: bool, spaces: bool) -> str:
        """The text of ids, with added tokens set off by spaces if need be."""
        beyond = {
            text
            for text in tokens.additional_special_tokens
            if tokens.convert_tokens_to_ids(text) >= self.n_pieces
        }
        set_off = (tokens.get_added_vocab().keys() - set(tokens.all_special_tokens)) | beyond
        pieces = tokens.convert_ids_to_tokens(ids, skip_special_tokens=skips)
        runs = [(is_off, list(run)) for is_off, run in groupby(pieces, set_off.__contains__)]
        parts: list[str] = []
        for i, (is_off, run) in enumerate(runs):
            texts = run if is_off else [self.to_text(run, tokens)]
            # Pieces without any text count between added tokens only at the end.
            parts += texts if is_off or texts[0] or i == len(runs) - 1 else []
        return (" " if spaces else "").join(parts)

    def _surface(self, piece: str) -> bytes:
        known = self.core.id_of(piece)
        return piece.encode() if known is None else self.core.token_bytes(known)

    def save(self, path: str) -> None:
        """Write a tokenizer.model: the one that was read, or a new one with the same pieces."""
        source = self.vocabulary.path
        if not (source.endswith(".model") and os.path.isfile(source)):
            Path(path).write_bytes(write_sentencepiece(self.vocabulary))
        elif os.path.abspath(source) != os.path.abspath(path):
            copyfile(source, path)


class _Walk:
    """A text on the way from token to token: the characters and the word of each."""

    def __init__(self, text: str, owes_space: bool) -> None:
        self.text, self.owes_space = text, owes_space
        self.spans: list[Span] = []
        self.words: list[int] = []
        self._at, self._n_bytes = 0, 0  # the next character, and bytes left of the one before
        self._word, self._is_in_word = -1, False

    def takes(self, token: AddedToken) -> bool:
        """Take an added token with the spaces that it strips; False where the text has it not."""
        begin = self.text.find(token.content, self._at)
        if begin < 0 or self.text[self._at : begin].strip():
            return False
        end = begin + len(token.content)
        if token.rstrip:
            end = len(self.text) - len(self.text[end:].lstrip())
        self._is_in_word = False
        self._put(self._at if token.lstrip else begin, end)
        self._is_in_word = False
        return True

    def take_byte(self) -> None:
        """Take a byte of a character."""
        if not self._n_bytes:
            self._n_bytes = len(self.text[self._at].encode())
            self._at += 1
        self._n_bytes -= 1
        self._put(self._at - 1, self._at)

    def take_piece(self, piece: str) -> None:
        """Take a piece; a lone space that was put before the text has the next one's place."""
        begin = self._at
        n_chars = len(piece) - (self.owes_space and piece.startswith(UNDERLINE))
        self._put(begin, min(begin + max(n_chars, 1), len(self.text)))
        self._at = begin + n_chars
        self.owes_space = False

    def _put(self, begin: int, end: int) -> None:
        self._word += not self._is_in_word
        self._is_in_word = True
        self.spans.append((begin, end))
        self.words.append(self._word)
        self._at = end
