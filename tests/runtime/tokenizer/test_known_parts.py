"""Parts of texts whose ids are known: what is encoded, what is kept, and where texts may be cut."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halfbyte.tokenizer import Tokenizer, known_parts, long_texts
from halfbyte.tokenizer.bpe import boundary_of, cutter
from halfbyte.tokenizer.cuts import CUTS
from halfbyte.tokenizer.known_parts import KnownParts

LINES = [f"    value_{i} = compute_the_number_of({i}) and more\n" for i in range(400)]
# What cuts may depend on, in many mixtures.
TEXTS = st.lists(
    st.sampled_from(
        [*"ab1.'_ \n\r\t語ⅷ²\u0301", " a", "a ", "a\n", "B b", "'s", "123", "  ", "IMGIMG", "é é"]
    )
    | st.characters(exclude_categories=["Cs"]),
    max_size=24,
).map("".join)


class Counting:
    """Encodes a text as its code points, and counts the characters."""

    def __init__(self) -> None:
        self.n = 0

    def __call__(self, text: str) -> list[int]:
        self.n += len(text)
        return [ord(char) for char in text]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], tuple[list[int], int]]:
    """The ids of a text cut at newlines, and how many characters were encoded for them."""
    monkeypatch.setattr(long_texts, "KNOWN_PART", 1024)
    counting, known = Counting(), KnownParts()

    def encode(text: str) -> tuple[list[int], int]:
        before = counting.n
        ids = long_texts.encode(text, lambda: re.compile(r"(?<=\n)"), counting, known)
        return ids, counting.n - before

    return encode


def test_of_a_text_that_grows_the_end_is_encoded(
    counted: Callable[[str], tuple[list[int], int]],
) -> None:
    text = "".join(LINES)
    assert counted(text) == ([ord(c) for c in text], len(text))
    assert counted(text) == ([ord(c) for c in text], 0)
    longer = text + "".join(reversed(LINES[:20]))
    ids, n = counted(longer)
    assert ids == [ord(c) for c in longer] and n < 3 * 1024


@pytest.mark.parametrize("change", ["inserted", "cut at the beginning"])
def test_of_a_text_that_changes_little_little_is_encoded(
    counted: Callable[[str], tuple[list[int], int]], change: str
) -> None:
    text = "".join(LINES)
    counted(text)
    at = len(text) // 2
    changed = text[:at] + "x" + text[at:] if change == "inserted" else text[1:]
    ids, n = counted(changed)
    assert ids == [ord(c) for c in changed] and n < 3 * 1024


def test_what_else_ids_depend_on() -> None:
    known, part = KnownParts(), "a" * 100
    assert list(known.ids(part, True, lambda _: [1])) == [1]
    assert list(known.ids(part, False, lambda _: [2])) == [2]
    assert list(known.ids(part, True, lambda _: [3])) == [1]


def test_what_is_used_outlasts_what_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_parts, "_MOST", 8)
    known, asked = KnownParts(), Counting()
    for i in range(100):
        known.ids("used" * 20, None, asked)
        known.ids(f"{i:3}" * 40, None, asked)
    assert asked.n == 80 + 100 * 120
    assert len(known._young) + len(known._old) <= 16
    known.ids("  0" * 40, None, asked)
    assert asked.n == 80 + 101 * 120  # forgotten


def test_large_parts_are_not_kept() -> None:
    known, asked = KnownParts(), Counting()
    for _ in range(2):
        known.ids("a" * 20_000, None, asked)
    assert asked.n == 40_000 and not known._young


@pytest.mark.parametrize("name", CUTS)
def test_expressions_cut_at_every_boundary(name: str) -> None:
    """Each part by itself is cut as the whole is: no expression looks across a boundary."""
    cut = cutter(CUTS[name])
    boundary = boundary_of(cut)
    assert (boundary.search("a\nb") is None) == (name == "superbpe")
    assert (boundary.search("a b") is None) == (name in ("superbpe", "exaone-moe"))

    @settings(max_examples=60)
    @given(TEXTS)
    def check(text: str) -> None:
        ends = [found.start() for found in boundary.finditer(text)]
        parts = [text[a:b] for a, b in zip([0, *ends], [*ends, len(text)], strict=True)]
        pieces = [piece for part in parts for piece, _ in cut.pre_tokenize_str(part)]
        assert pieces == [piece for piece, _ in cut.pre_tokenize_str(text)]

    check()


@settings(max_examples=150)
@given(texts=st.lists(TEXTS, min_size=1, max_size=4), parses=st.booleans(), is_start=st.booleans())
def test_texts_made_of_known_ones(
    small_spm: Tokenizer, small_bpe: tuple[Tokenizer, object], texts: list[str], parses: bool,
    is_start: bool,
) -> None:  # fmt: skip
    """As whole, by a tokenizer that knows nothing."""

    def encode(tokenizer: Tokenizer, text: str) -> list[int]:
        if is_start:
            return tokenizer.encode(text, add_bos=False, parse_markers=parses)
        return tokenizer.encode_fragment(text, parse_markers=parses)

    for tokenizer in (small_spm, small_bpe[0]):
        for text in ("".join(texts), "".join(reversed(texts)), *texts):
            ids = encode(tokenizer, text)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(tokenizer._backend, "_known", KnownParts())
                patch.setattr(long_texts, "KNOWN_PART", 1 << 20)
                assert ids == encode(tokenizer, text)


def test_runs_of_spaces_are_pieces_of_their_own(
    trained: Path, tmp_path: Path, vocabularies: Any
) -> None:
    """As Gemma's, which llama.cpp's converter spells with spaces."""
    model, file = (vocabularies.read_model(trained) for _ in range(2))
    for runs, space in ((model, "\u2581"), (file, " ")):
        for n in range(2, 8):
            known = [piece for piece in runs.pieces if piece.piece == "\u2581" * n]
            piece = known[0] if known else runs.pieces.add(score=0.0)
            piece.piece, piece.type = space * n, 4
        runs.trainer_spec.vocab_size = len(runs.pieces)

    def fill(writer: Any) -> None:
        vocabularies.add_sentencepiece(writer, file)
        writer.add_add_space_prefix(False)

    ours = Tokenizer.from_path(vocabularies.write_gguf(tmp_path / "m.gguf", fill))
    theirs = vocabularies.processor(model, dummy_prefix=False)
    for text in ("def f(x):\n    if x:\n        return", "a   b  c    ", "x\n" + " " * 17 + "y"):
        assert ours.encode(text, add_bos=False) == theirs.encode(text)
        assert ours.decode(ours.encode(text, add_bos=False)) == text
    assert len(ours.encode("x" + " " * 7 + "x", add_bos=False)) == 3
