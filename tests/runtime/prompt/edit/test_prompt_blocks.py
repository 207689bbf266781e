"""What is shown where there is room for less."""

from __future__ import annotations

from typing import Any

import pytest

from halfbyte.prompt.edit.marked_text import Marker, encode_pieces
from halfbyte.prompt.edit.prompt_blocks import Block, show
from halfbyte.tokenizer import Tokenizer

SEP = Marker("<|file_sep|>")
BLOCKS = (
    Block(header=(SEP, "first\n")),
    Block(
        header=(SEP, "files\n"), items=((SEP, "a\n"), (SEP, "b\n"), (SEP, "c\n")),
        footer=("\n",), rank=2, what="files", n_unwanted=1,
    ),
    Block(items=((SEP, "old\n"), (SEP, "new\n")), rank=1, order=(0, 1), what="edits"),
    Block(header=(SEP, "last"), items=(("\n",),)),
)  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer(vocabulary_of: Any) -> Tokenizer:
    return vocabulary_of("sweep").tokenizer


def n_of(tokenizer: Tokenizer, *pieces: str) -> int:
    return len(encode_pieces(tokenizer, pieces))


@pytest.mark.parametrize(
    ("fits", "text", "left_out"),
    [
        ("", "|first\n|last\n", ("2 of 2 edits", "4 of 4 files")),
        ("|old\n", "|first\n|old\n|last\n", ("1 of 2 edits", "4 of 4 files")),
        ("|old\n|new\n|files\n", "|first\n|old\n|new\n|last\n", ("4 of 4 files",)),
        (
            "|old\n|new\n|files\n|c\n\n",
            "|first\n|files\n|c\n\n|old\n|new\n|last\n",
            ("3 of 4 files",),
        ),
        (
            "|old\n|new\n|files\n|a\n|b\n|c\n\n",
            "|first\n|files\n|a\n|b\n|c\n\n|old\n|new\n|last\n",
            ("1 of 4 files",),
        ),
    ],
)
def test_room_goes_by_rank_and_order(
    tokenizer: Tokenizer, fits: str, text: str, left_out: tuple[str, ...]
) -> None:
    def pieces(text: str) -> list[str]:
        return [part for line in text.split("|")[1:] for part in (SEP, line)]

    # Items, headers and footers are counted apart, so their texts are too.
    lines = [line for line in pieces(fits) if line != SEP]
    parts = [(SEP, *((line[:-1], "\n") if line.endswith("\n\n") else (line,))) for line in lines]
    room = n_of(tokenizer, *pieces("|first\n|last\n"))
    room += sum(n_of(tokenizer, piece) for part in parts for piece in part)
    shown = show(tokenizer, BLOCKS, room)
    assert shown.tokens == encode_pieces(tokenizer, pieces(text))
    assert shown.left_out == left_out


def test_what_is_required_is_shown_without_room(tokenizer: Tokenizer) -> None:
    assert show(tokenizer, BLOCKS, 0).tokens == encode_pieces(
        tokenizer, [SEP, "first\n", SEP, "last\n"]
    )


def test_an_item_that_does_not_fit_ends_its_block(tokenizer: Tokenizer) -> None:
    """Smaller ones beyond it are wanted less."""
    items = (("a",), ("b " * 400,), ("c",))
    shown = show(tokenizer, [Block(items=items, rank=1, what="items")], 100)
    assert shown.tokens == encode_pieces(tokenizer, ["c"])
    assert shown.left_out == ("2 of 3 items",)
