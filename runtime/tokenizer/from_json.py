"""The BPE of a tokenizer.json: its pieces, its merges, and sentencepiece's scores out of these.

A file that was made of a sentencepiece model has merges in place of scores. Converters write a
merge for every way to put a piece together of two others, those of the piece with the highest
score first. So the order of the merges gives the order of the scores, which is all that encoding
needs. Where a file's merges are of another make, sentencepiece would encode otherwise than the
file says, and it is refused.

Gemma's begin with those of pieces that all have the highest score, sorted by the lengths of their
parts: runs of one character, and texts that are found before anything is merged.
"""

from __future__ import annotations

import re
from itertools import groupby
from pathlib import Path
from typing import Any

from halfbyte.errors import ConversionError
from halfbyte.lazy_dataclass import dataclass
from halfbyte.tokenizer.json_parts import (
    added_tokens,
    check_space_decoder,
    checked,
    model_of,
    part_of,
)
from halfbyte.tokenizer.vocabulary import (
    ALWAYS,
    BYTE,
    CONTROL,
    EACH,
    FIRST,
    IDENTITY,
    NORMAL,
    UNKNOWN,
    Vocabulary,
)

_SPACE = "▁"
BYTE_PIECE = re.compile("<0x[0-9A-F]{2}>")
_PREPEND = {"type": "Prepend", "prepend": _SPACE}
REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": _SPACE}
_METASPACE = {"type": "Metaspace", "replacement": _SPACE, "split": False}
# Gemma's way to cut, behind a normalizer that leaves no space.
AT_SPACES = {
    "type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False,
}  # fmt: skip
_MAX_PIECE = 512  # characters
_HINT = "put the model's tokenizer.model into the folder"


class OtherMerges(ConversionError):
    """No scores would have made a file's merges."""


@dataclass(frozen=True, slots=True)
class SentencePieces:
    """A sentencepiece vocabulary by id, the tokens left out that were added to it."""

    pieces: list[str]
    types: list[int]
    scores: list[float]
    add_space_prefix: bool
    remove_extra_whitespaces: bool = False
    normalization_rule: str = IDENTITY
    spacing: str = EACH

    def vocabulary(self, path: Path) -> Vocabulary:
        """The same as one of GGUF's kind."""
        return Vocabulary(
            path=str(path),
            model="llama",
            pieces=[piece.encode() for piece in self.pieces],
            types=list(self.types),
            scores=list(self.scores),
            add_space_prefix=self.add_space_prefix,
            remove_extra_whitespaces=self.remove_extra_whitespaces,
            normalization_rule=self.normalization_rule,
            spacing=self.spacing,
        )


def read_sentencepieces(path: Path, data: dict[str, Any]) -> SentencePieces:
    """The vocabulary of a tokenizer.json whose model is a BPE with byte fallback.

    Raises:
        ConversionError: it is another kind, it cuts or spells text otherwise than Llama's, or its
            merges are not those of scores.
    """
    stated = data.get("model")
    if not isinstance(stated, dict) or not stated.get("byte_fallback"):
        raise ConversionError(
            path, "model", expected="BPE with byte fallback", got="another kind", hint=_HINT
        )
    model = model_of(path, data)
    if model.get("ignore_merges"):
        raise ConversionError(path, "model.ignore_merges", expected="false", got=True, hint=_HINT)
    pieces = pieces_by_id(path, model.get("vocab"))
    added = added_tokens(path, "added_tokens", data.get("added_tokens")).values()
    found = {token.content for token in added if not token.flags}
    order = _order(path, set(pieces), merges_of(path, model.get("merges")), found)
    pieces = _with_bytes(pieces)
    for token in added:
        if "normalized" in token.flags and data.get("normalizer"):
            raise ConversionError(
                path, f"added token {token.content!r}: normalized", got=True, hint=_HINT,
                expected="false where the normalizer puts spaces before it",
            )  # fmt: skip
    types = {token.content: CONTROL for token in added if token.is_special}
    types |= {piece: BYTE for piece in pieces if BYTE_PIECE.fullmatch(piece)}
    types[str(model.get("unk_token"))] = UNKNOWN
    scores = [-float(order.get(piece, len(order))) for piece in pieces]
    adds_space, spacing = _spacing(path, data)
    check_space_decoder(path, data.get("decoder"), adds_space=adds_space)
    types_by_id = [types.get(piece, NORMAL) for piece in pieces]
    return SentencePieces(pieces, types_by_id, scores, adds_space, spacing=spacing)


def puts_spaces_inside(data: dict[str, Any]) -> bool:
    """Whether a tokenizer.json puts a space before every part that follows a special token."""
    normalizer, cutter = data.get("normalizer"), data.get("pre_tokenizer")
    listed = part_of(data, "normalizer").get("normalizers")
    steps = [normalizer, *(listed if isinstance(listed, list) else ())]
    return any(isinstance(step, dict) and step.get("type") == "Prepend" for step in steps) or (
        isinstance(cutter, dict)
        and cutter.get("type") == "Metaspace"
        and cutter.get("prepend_scheme") == ALWAYS
    )


def pieces_by_id(path: Path, vocab: object) -> list[str]:
    """The pieces of a tokenizer.json's "vocab", in the order of their ids.

    Raises:
        ConversionError: it is no mapping, or the ids have gaps.
    """
    if not isinstance(vocab, dict):
        raise ConversionError(path, "model.vocab", expected="a mapping", got=type(vocab).__name__)
    by_id = {i: text for text, i in vocab.items() if type(i) is int}
    if sorted(by_id) != list(range(len(vocab))):
        raise ConversionError(path, "model.vocab", expected="ids without gaps", got="gaps")
    return [checked(path, "model.vocab", by_id[i]) for i in range(len(by_id))]


def merges_of(path: Path, stated: object) -> list[tuple[str, str]]:
    """The pairs of a tokenizer.json's "merges", which are lists of two or texts with a space.

    Raises:
        ConversionError: it is something else.
    """
    if not isinstance(stated, list):
        raise ConversionError(path, "model.merges", expected="a list", got=type(stated).__name__)
    pairs = []
    for merge in stated:
        parts = merge.split(" ") if isinstance(merge, str) else merge
        if not isinstance(parts, list) or len(parts) != 2:
            raise ConversionError(path, "model.merges", expected="pairs of pieces", got=repr(merge))
        left, right = (checked(path, "model.merges", part) for part in parts)
        pairs.append((left, right))
    return pairs


def _with_bytes(pieces: list[str]) -> list[str]:
    """The pieces with those of bytes under their names: Gemma's tab stands in the place of one."""
    known = set(pieces)
    names = {chr(byte): f"<0x{byte:02X}>" for byte in range(128)}
    return [
        names[piece] if piece in names and names[piece] not in known else piece for piece in pieces
    ]


def _order(
    path: Path, pieces: set[str], merges: list[tuple[str, str]], found: set[str]
) -> dict[str, int]:
    """Merged piece -> its place among them; `found` are texts that no merge sees."""
    if max(map(len, pieces), default=0) > _MAX_PIECE:
        raise ConversionError(path, "model.vocab", expected=f"pieces of at most {_MAX_PIECE}")
    joined = ["".join(merge) for merge in merges]
    made = [piece for piece, _ in groupby(joined)]
    first = set[str]()
    if len(set(made)) != len(made):
        n = _n_of_runs(merges, found)
        first, made = set(joined[:n]), [piece for piece, _ in groupby(joined[n:])]
    order = dict.fromkeys(first, 0) | {piece: i for i, piece in enumerate(made, len(first) > 0)}
    possible = {
        (piece[:i], piece[i:])
        for piece in pieces
        for i in range(1, len(piece))
        if piece[:i] in pieces and piece[i:] in pieces
    }
    if len(order) != len(first) + len(made) or possible != set(merges):
        raise OtherMerges(
            path, "model.merges", hint=_HINT, got="others",
            expected="all pairs of pieces that make a piece, those of one piece together",
        )  # fmt: skip
    return order


def _n_of_runs(merges: list[tuple[str, str]], found: set[str]) -> int:
    """How many of the first merges make runs of one character, or what is found before; 0: these
    would make other runs than equal scores do.

    Of equal scores sentencepiece takes the leftmost pair: a run grows as far as it can before the
    next one begins. So do merges where adding a character to a run comes before beginning one.
    """
    n, places = 0, dict[tuple[str, str], int]()
    for pair in merges:
        piece = "".join(pair)
        if len(set(piece)) > 1 and piece not in found:
            break
        places[pair] = n
        n += 1
    runs = {"".join(pair) for pair in places if len(set("".join(pair))) == 1}
    for run in runs:
        one, shorter = run[0], run[1:]
        if len(run) > 2 and not (
            shorter in runs and places.get((shorter, one), n) < places.get((one, one), -1)
        ):
            return 0
    return n


def _spacing(path: Path, data: dict[str, Any]) -> tuple[bool, str]:
    """Whether a text gets a space before it, and where; spaces are spelled as in Llama's pieces."""
    normalizer, cutter = data.get("normalizer"), data.get("pre_tokenizer")
    if cutter is None or (cutter == AT_SPACES and normalizer == REPLACE):
        for steps in ([_PREPEND, REPLACE], [REPLACE]):
            if normalizer == {"type": "Sequence", "normalizers": steps} or steps == [normalizer]:
                return _PREPEND in steps, EACH
    if normalizer is None and isinstance(cutter, dict):
        scheme = cutter.get("prepend_scheme")
        if cutter == _METASPACE | {"prepend_scheme": scheme} and scheme in ("never", ALWAYS, FIRST):
            return scheme != "never", EACH if scheme == "never" else scheme
    raise ConversionError(
        path, "normalizer", expected=f"one that makes {_SPACE} of spaces and leaves text whole",
        got=repr((normalizer, cutter)), hint=_HINT,
    )  # fmt: skip
