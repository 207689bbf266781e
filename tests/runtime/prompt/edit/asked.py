"""Requests for tests: the cursor stands where the text has ‸."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from halfbyte.prompt.edit.edit_format import Layout
from halfbyte.prompt.edit.edit_request import EditRequest, edit_request

FRAGMENTS = (
    *(
        "\n",
        "\r\n",
        "\r",
        "\n\n",
        " ",
        "\t",
        "a",
        "x = 1",
        "é",
        "\u2028",
        "\x0c",
        "😀",
        "}",
        "e\u0301",
    ),
    *("<|file_sep|>", "<|cursor|>", "<[fim-middle]>", "<filename>", "=======", "<|endoftext|>"),
)
TEXTS = st.lists(st.sampled_from(FRAGMENTS), max_size=30).map("".join)
FEW = settings(max_examples=30)
BOMS = st.sampled_from(["", "\ufeff"])


def at(text: str, path: str = "test.rs", **more: Any) -> EditRequest:
    """A request for an edit at ‸."""
    before, after = text.split("‸")
    return edit_request(path, before + after, len(before), **more)


def rendered(layout: Layout) -> str:
    """The prompt's text, with all there is to show."""
    parts = []
    for block in layout.blocks:
        if block.items or block.rank == 0:
            items = [piece for item in block.items for piece in item]
            parts += [*block.header, *items, *block.footer]
    return "".join(parts)
