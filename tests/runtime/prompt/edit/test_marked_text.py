"""Prompts in pieces, against the `tokenizers` package."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from halfbyte.prompt.edit.marked_text import Marker, encode_pieces, marker_id, n_tokens
from tests.runtime.prompt.edit.asked import FEW, TEXTS

PIECES = st.lists(
    st.one_of(TEXTS, st.sampled_from(["<|file_sep|>", "<|cursor|>"]).map(Marker)), max_size=8
)


@FEW
@given(PIECES)
def test_pieces_are_one_text_between_special_tokens(vocabulary_of: Any, pieces: list[str]) -> None:
    """What a user wrote is plain, whatever it spells; an unknown marker is text too."""
    made = vocabulary_of("sweep")
    expected: list[int] = []
    for is_special, run in groupby(pieces, lambda p: isinstance(p, Marker) and p == "<|file_sep|>"):
        texts = list(run)
        if is_special:
            expected += [made.tokenizer.id_of("<|file_sep|>")] * len(texts)
        else:
            expected += made.plain.encode("".join(texts)).ids
    ids = encode_pieces(made.tokenizer, pieces)
    assert ids == expected
    for room in (0, 3, len(ids), 1000):
        n = n_tokens(made.tokenizer, pieces, room)
        whole = sum(len(encode_pieces(made.tokenizer, [piece])) for piece in pieces)
        assert n == whole if whole <= room else n > room


def test_long_pieces_are_not_read_to_their_end(vocabulary_of: Any, monkeypatch: Any) -> None:
    tokenizer = vocabulary_of("sweep").tokenizer
    read: list[int] = []
    encode = tokenizer.encode_fragment
    monkeypatch.setattr(
        tokenizer, "encode_fragment", lambda text: (read.append(len(text)), encode(text))[1]
    )
    assert n_tokens(tokenizer, ["ab " * 1_000_000, "x" * 1_000_000], 20) > 20
    assert sum(read) < 2000


def test_markers(vocabulary_of: Any) -> None:
    tokenizer = vocabulary_of("sweep").tokenizer
    assert marker_id(tokenizer, Marker("<|file_sep|>")) == tokenizer.id_of("<|file_sep|>")
    assert marker_id(tokenizer, Marker("<|cursor|>")) is None
    assert marker_id(tokenizer, "<|file_sep|>") is None
