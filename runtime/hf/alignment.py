"""Which characters of a text each token stands for.

Spans are (begin, end) in characters of the text; tokens that share a character have its span each.
What stands for no text, as BOS, has the span (0, 0) and belongs to no word and no sequence.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import field
from typing import NamedTuple, TypeVar

from halfbyte.errors import RequestError
from halfbyte.lazy_dataclass import dataclass

_T = TypeVar("_T")

Span = tuple[int, int]
NOWHERE: Span = (0, 0)


class CharSpan(NamedTuple):
    """Characters of a text, from `start` to before `end`."""

    start: int
    end: int


class TokenSpan(NamedTuple):
    """Tokens of an encoding, from `start` to before `end`."""

    start: int
    end: int


@dataclass(slots=True)
class Tokens:
    """Ids, and for each the characters, the word and the sequence (0 or 1) that it is of.

    `is_located` is false where the ids were given as such, so that there is no text.
    """

    ids: list[int] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    words: list[int | None] = field(default_factory=list)
    sequences: list[int | None] = field(default_factory=list)
    is_located: bool = True

    @classmethod
    def of_ids(cls, ids: Iterable[int]) -> Tokens:
        """Ids of no text."""
        ids = list(ids)
        return cls(ids, [NOWHERE] * len(ids), [None] * len(ids), [None] * len(ids), False)

    @classmethod
    def of_marks(cls, ids: list[int]) -> Tokens:
        """Ids that stand for no text among others that do."""
        marks = cls.of_ids(ids)
        marks.is_located = True
        return marks

    @classmethod
    def of_text(cls, ids: list[int], spans: list[Span], words: Sequence[int | None]) -> Tokens:
        """Ids of one text."""
        return cls(ids, spans, list(words), [0] * len(ids))

    def __len__(self) -> int:
        return len(self.ids)

    def cut(self, begin: int, end: int) -> Tokens:
        """The tokens from one to before another."""
        parts = (self.ids, self.spans, self.words, self.sequences)
        ids, spans, words, sequences = (part[begin:end] for part in parts)
        return Tokens(ids, spans, words, sequences, self.is_located)  # type: ignore[arg-type]

    def extend(self, other: Tokens) -> None:
        """Append tokens."""
        self.ids += other.ids
        self.spans += other.spans
        self.words += other.words
        self.sequences += other.sequences
        self.is_located &= other.is_located

    def of(self, *, word: int | None = None, sequence: int | None = None, shift: int = 0) -> Tokens:
        """The same as part of another text: of that word or sequence, or further on in it."""
        spans = [(begin + shift, end + shift) for begin, end in self.spans]
        words = self.words if word is None else [word] * len(self)
        places = [sequence if s == 0 and sequence is not None else s for s in self.sequences]
        return Tokens(self.ids, spans, list(words), places, self.is_located)

    def spread(self, is_added: Sequence[int], ids: list[int]) -> Tokens:
        """The same among added tokens: `ids` with 1 in `is_added` for those that are not here."""
        whole = Tokens.of_ids(ids)
        whole.is_located = self.is_located
        at = (i for i, added in enumerate(is_added) if not added)
        for i, span, word, place in zip(at, self.spans, self.words, self.sequences, strict=True):
            whole.spans[i], whole.words[i], whole.sequences[i] = span, word, place
        return whole


@dataclass(slots=True)
class Alignment:
    """A row of an encoding: its pieces, and where they come from."""

    pieces: list[str]
    spans: list[Span]
    words: list[int | None]
    sequences: list[int | None]

    def token_at(self, char: int, sequence: int) -> int | None:
        """The first token with that character of the text."""
        found = (i for i, (begin, end) in self._of(sequence) if begin <= char < end)
        return next(found, None)

    def chars_of(self, tokens: Iterable[int]) -> CharSpan | None:
        """The characters of several tokens together; None for tokens of no text."""
        spans = [self.spans[i] for i in tokens if self.sequences[i] is not None]
        return CharSpan(spans[0][0], spans[-1][1]) if spans else None

    def tokens_of(self, word: int, sequence: int) -> list[int]:
        """The tokens of a word."""
        return [i for i, _ in self._of(sequence) if self.words[i] == word]

    def _of(self, sequence: int) -> Iterable[tuple[int, Span]]:
        places = self.sequences
        return ((i, span) for i, span in enumerate(self.spans) if places[i] == sequence)


class Aligned:
    """What transformers' fast encodings tell about rows of tokens; a mixin of BatchEncoding.

    Indices are of a row and in it, or in the first row alone.

    Raises:
        RequestError: the encoding was not made of texts, or an index is outside.
    """

    alignments: list[Alignment] | None = None

    @property
    def is_fast(self) -> bool:
        """Whether the rows were made of texts, so that it is known what stands where."""
        return self.alignments is not None

    @property
    def n_sequences(self) -> int | None:
        """How many texts are in a row: 1, or 2 for a pair."""
        places = set(self.alignments[0].sequences) if self.alignments else set()
        return 2 if 1 in places else 1 if self.is_fast else None

    def tokens(self, batch_index: int = 0) -> list[str]:
        """The pieces of a row."""
        return list(self._row(batch_index).pieces)

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """The word of each token of a row; added tokens count as words of their own."""
        return list(self._row(batch_index).words)

    def sequence_ids(self, batch_index: int = 0) -> list[int | None]:
        """The text, 0 or 1, that each token of a row is of."""
        return list(self._row(batch_index).sequences)

    def token_to_sequence(self, row_or_token: int, token: int | None = None) -> int | None:
        """The text that a token is of."""
        row, at = self._token(row_or_token, token)
        return row.sequences[at]

    def token_to_word(self, row_or_token: int, token: int | None = None) -> int | None:
        """The word that a token is of."""
        row, at = self._token(row_or_token, token)
        return row.words[at]

    def token_to_chars(self, row_or_token: int, token: int | None = None) -> CharSpan | None:
        """The characters that a token stands for; None where it stands for none."""
        row, at = self._token(row_or_token, token)
        return row.chars_of([at])

    def char_to_token(
        self, row_or_char: int, char: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """The token that a character of a text is in."""
        row, at = self._pair(row_or_char, char)
        return row.token_at(at, sequence_index)

    def char_to_word(
        self, row_or_char: int, char: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """The word that a character of a text is in."""
        row, at = self._pair(row_or_char, char)
        token = row.token_at(at, sequence_index)
        return None if token is None else row.words[token]

    def word_to_tokens(
        self, row_or_word: int, word: int | None = None, sequence_index: int = 0
    ) -> TokenSpan | None:
        """The tokens of a word."""
        row, at = self._pair(row_or_word, word)
        tokens = row.tokens_of(at, sequence_index)
        return TokenSpan(tokens[0], tokens[-1] + 1) if tokens else None

    def word_to_chars(
        self, row_or_word: int, word: int | None = None, sequence_index: int = 0
    ) -> CharSpan | None:
        """The characters of a word."""
        row, at = self._pair(row_or_word, word)
        return row.chars_of(row.tokens_of(at, sequence_index))

    def _row(self, index: int) -> Alignment:
        if self.alignments is None:
            raise RequestError(
                "encoding", expected="one that a tokenizer made of texts", got="ids alone"
            )
        return _item("batch_index", self.alignments, index)

    def _pair(self, first: int, second: int | None) -> tuple[Alignment, int]:
        return (self._row(0), first) if second is None else (self._row(first), second)

    def _token(self, first: int, second: int | None) -> tuple[Alignment, int]:
        row, at = self._pair(first, second)
        return row, _item("token_index", range(len(row.pieces)), at)


def _item(name: str, items: Sequence[_T], index: int) -> _T:
    if not -len(items) <= index < len(items):
        raise RequestError(name, expected=f"an index below {len(items)}", got=index)
    return items[index]
