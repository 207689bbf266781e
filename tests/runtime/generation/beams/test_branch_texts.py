"""Branches' texts grow apart, and end where a text alone would."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import halfbyte
from halfbyte.generation.beams.branch_texts import BranchText, BranchTexts
from halfbyte.generation.block_ends import BracketEnd, IndentEnd
from halfbyte.generation.chat_text import ChatText
from halfbyte.generation.shown_text import ShownText
from halfbyte.tokenizer.detokenizer import StreamDetokenizer

TEXTS = ("a(b)) c", "a(b) c)\n", "\n    x\ny", "h\u00e9llo w\u00f6rld) (", "never")
SHOWN: dict[str, Callable[[], ShownText]] = {
    "stops": lambda: ShownText(["b)", "\u00f6r"]),
    "brackets": lambda: ShownText(block_ends=[BracketEnd(behind=True)]),
    "indent": lambda: ShownText(block_ends=[IndentEnd(4)]),
    "line": lambda: ShownText(is_line=True),
    "chat": lambda: ChatText(["b)", "\u00f6r"]),
    "nothing": ShownText,
}


@pytest.mark.parametrize("kind", SHOWN)
def test_each_ends_where_it_does_alone(infill_model: halfbyte.Model, kind: str) -> None:
    """All of them in turns, byte by byte, so that they share their parents."""
    make, tokenizer = SHOWN[kind], infill_model.tokenizer
    assert make().may_end is (kind != "nothing")
    texts = BranchTexts(lambda: BranchText(StreamDetokenizer(tokenizer), make()))
    byte = {tokenizer.token_bytes(i): i for i in reversed(range(tokenizer.n_vocab))}
    paths = [tuple(byte[bytes([b])] for b in text.encode()) for text in TEXTS]
    alone = []
    for path in paths:
        shown, spelling = make(), StreamDetokenizer(tokenizer)
        ended = (n for n, token in enumerate(path, 1) if shown.push(spelling.push(token)))
        alone.append(next(ended, None))
    found: list[int | None] = [None] * len(paths)
    for n in range(1, max(map(len, paths)) + 1):
        for i, path in enumerate(paths):
            if n <= len(path) and found[i] is None and texts.is_over(path[:n]):
                found[i] = n
    assert found == alone and (kind == "nothing" or len(set(alone)) > 1)
