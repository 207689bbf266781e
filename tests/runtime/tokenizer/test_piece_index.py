"""PieceIndex against a look at every piece."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from halfbyte.gguf.strings import Strings
from halfbyte.tokenizer import Tokenizer
from halfbyte.tokenizer.piece_index import PieceIndex

# Few values, the highest byte among them, so that pieces share beginnings and repeat.
BYTES = st.lists(st.sampled_from([0, 1, 97, 254, 255]), max_size=5).map(bytes)
PIECES = st.lists(BYTES, max_size=12)


def pairs(pieces: list[bytes]) -> list[tuple[bytes, int]]:
    """With ids that are in no order."""
    return [(piece, (7 * i + 3) % 101) for i, piece in enumerate(pieces)]


def index_of(tokens: list[tuple[bytes, int]]) -> PieceIndex:
    """Of these tokens; the vocabulary's others do not count."""
    vocabulary = [b"a"] * 101
    for piece, i in tokens:
        vocabulary[i] = piece
    return PieceIndex(Strings.of(vocabulary), [i for _, i in tokens])


def extends(pieces: list[bytes], text: bytes) -> bool:
    return any(piece != text and piece.startswith(text) for piece in pieces)


def beginning_with(pieces: list[tuple[bytes, int]], text: bytes) -> list[int]:
    return sorted(i for piece, i in pieces if piece.startswith(text))


def prefixes_of(pieces: list[tuple[bytes, int]], text: bytes) -> list[tuple[int, int]]:
    return sorted((i, len(p)) for p, i in pieces if p and p != text and text.startswith(p))


@settings(max_examples=300)
@given(PIECES, BYTES.filter(bool))
def test_any_pieces_and_any_text(pieces: list[bytes], text: bytes) -> None:
    index = index_of(pairs(pieces))
    assert index.extends(text) == extends(pieces, text)
    got = index.beginning_with(text)
    assert got.tolist() == beginning_with(pairs(pieces), text) and got.dtype == "int64"
    assert sorted(index.prefixes_of(text)) == prefixes_of(pairs(pieces), text)


def test_no_pieces() -> None:
    index = index_of([])
    assert not index.extends(b"a")
    assert index.beginning_with(b"a").tolist() == []
    assert list(index.prefixes_of(b"ab")) == []


def test_a_piece_does_not_extend_itself() -> None:
    index = index_of([(b"a", 5), (b"a", 3), (b"b", 4)])
    assert not index.extends(b"a")
    assert index.beginning_with(b"a").tolist() == [3, 5]
    assert list(index.prefixes_of(b"a")) == []
    assert list(index.prefixes_of(b"ab")) == [(3, 1), (5, 1)]


@settings(max_examples=100)
@given(st.text("ab re_(.\n é語", min_size=1, max_size=8))
def test_a_whole_vocabulary(small_spm: Tokenizer, text: str) -> None:
    markers = small_spm.marker_ids | {0}
    pieces = [(small_spm.token_bytes(i), i) for i in range(500) if i not in markers]
    assert small_spm.text_ids == [i for _, i in pieces]
    index = small_spm.piece_index
    assert index.extends(text.encode()) == extends([piece for piece, _ in pieces], text.encode())
    assert index.beginning_with(text.encode()).tolist() == beginning_with(pieces, text.encode())
    assert sorted(index.prefixes_of(text.encode())) == prefixes_of(pieces, text.encode())
