"""A tokenizer.json whose pieces are plain text, merged by rank: Gemma 4's (plain_bpe.py)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from halfbyte.errors import ConversionError
from halfbyte.tokenizer.from_json import AT_SPACES, BYTE_PIECE, REPLACE, merges_of, pieces_by_id
from halfbyte.tokenizer.json_parts import check_space_decoder
from halfbyte.tokenizer.vocabulary import BYTE, NORMAL, Vocabulary

GEMMA4 = "gemma4"
# Special tokens which llama.cpp's files have as texts that are shown, so that chats can be read.
SHOWN = frozenset(
    piece.encode()
    for piece in ("<|channel>", "<channel|>", "<|tool_call>", "<tool_call|>", "<|tool_response>",
                  "<tool_response|>", '<|"|>')
)  # fmt: skip


def is_plain(data: Mapping[str, Any]) -> bool:
    """Whether spaces alone are spelled otherwise, and text is cut nowhere but there, if at all."""
    return data.get("normalizer") == REPLACE and data.get("pre_tokenizer") in (None, AT_SPACES)


def read_plain(path: Path, data: Mapping[str, Any], model: Mapping[str, Any]) -> Vocabulary:
    """The vocabulary of a tokenizer.json, without the tokens that were added to it.

    Raises:
        ConversionError: something that it says can't be kept.
    """
    texts = pieces_by_id(path, model.get("vocab"))
    check_space_decoder(path, data.get("decoder"), adds_space=False)
    if model.get("ignore_merges"):
        raise ConversionError(path, "model.ignore_merges", expected="false", got=True)
    pairs = merges_of(path, model.get("merges"))
    for left, right in pairs:
        if "\n" in (both := left + right) and both.strip("\n"):
            expected = "merges within a line"
            raise ConversionError(path, "model.merges", expected=expected, got=repr(both))
    types = [BYTE if BYTE_PIECE.fullmatch(text) else NORMAL for text in texts]
    return Vocabulary(
        str(path), "gpt2", [text.encode() for text in texts], types, [],
        [" ".join(pair).encode() for pair in pairs], GEMMA4, add_space_prefix=False, add_bos=True,
    )  # fmt: skip
