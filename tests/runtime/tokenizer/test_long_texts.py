"""Long texts are encoded in parts: the ids are those of the whole."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor
from tokenizers import Tokenizer as HFTokenizer

from halfbyte.errors import TokenizerError
from halfbyte.tokenizer import Tokenizer, long_texts

LINE = "    return self.values[name]  # the name's own, café\n\n"
LONG = {
    "lines": LINE * 22_000,
    "spaces": " " * 1_100_000,
    "one character": "a" * 1_100_000,
    "one character of three bytes": "語" * 1_100_000,
}
# What cuts may depend on, in many mixtures.
TEXTS = st.text("ab1.'_ \n\r\t▁é語ⅷ²\u0301\u2028", max_size=80) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=60
)
SIZES = st.integers(1, 12)
PRES = ["gpt-2", "smollm", "qwen2", "llama-bpe", "deepseek-coder"]


@pytest.fixture
def parts_seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many parts each long text was cut into."""
    seen: list[int] = []
    cut = long_texts.parts

    def parts(text: str, boundary: re.Pattern[str], size: int) -> list[str]:
        found = list(cut(text, boundary, size))
        seen.append(len(found))
        return found

    monkeypatch.setattr(long_texts, "parts", parts)
    yield seen


def test_ids_of_a_long_text_are_few_objects(
    small_spm: Tokenizer, small_bpe: tuple[Tokenizer, HFTokenizer]
) -> None:
    for tokenizer in (small_spm, small_bpe[0]):
        ids = tokenizer.encode(LONG["lines"])
        assert max(ids) > 256  # up to there CPython has one object anyway
        assert len({id(i) for i in ids}) == len(set(ids))


@pytest.mark.parametrize("name", LONG)
def test_sentencepiece_ids_of_a_long_text(
    small_spm: Tokenizer, theirs_spm: SentencePieceProcessor, parts_seen: list[int], name: str
) -> None:
    text = LONG[name]
    assert len(text) > long_texts.PART
    assert small_spm.encode(text, add_bos=False) == theirs_spm.encode(text)
    assert parts_seen[0] > 50 if name == "lines" else parts_seen == [1]


def test_byte_level_ids_of_a_long_text(
    small_bpe: tuple[Tokenizer, HFTokenizer], parts_seen: list[int]
) -> None:
    ours, theirs = small_bpe
    assert len(LONG["lines"]) > long_texts.PART
    assert ours.encode(LONG["lines"]) == theirs.encode(LONG["lines"]).ids
    assert parts_seen[0] > 50


# How whitespace is cut depends on what follows it, so parts end behind letters only.
@pytest.mark.parametrize("text", [" " * 9_000, "\n" * 9_000, "a" * 9_000, "one. 2  three  " * 600])
def test_byte_level_texts_that_stay_whole(
    small_bpe: tuple[Tokenizer, HFTokenizer],
    parts_seen: list[int],
    monkeypatch: pytest.MonkeyPatch,
    text: str,
) -> None:
    ours, theirs = small_bpe
    monkeypatch.setattr(long_texts, "PART", 1000)
    assert ours.encode(text) == theirs.encode(text).ids
    assert parts_seen == [1]


@settings(max_examples=300)
@given(TEXTS, SIZES)
def test_sentencepiece_ids_for_any_size_of_parts(
    small_spm: Tokenizer, theirs_spm: SentencePieceProcessor, text: str, size: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(long_texts, "PART", size)
        assert small_spm.encode(text, add_bos=False) == theirs_spm.encode(text)


@pytest.mark.parametrize("pre", PRES)
def test_byte_level_ids_for_any_size_of_parts(tmp_path: Path, vocabularies: Any, pre: str) -> None:
    made = vocabularies.train_byte_level(pre)
    ours, theirs = Tokenizer.from_path(made.write(tmp_path / "m.gguf")), made.tokenizer(parses=True)

    @settings(max_examples=150)
    @given(TEXTS, SIZES)
    def check(text: str, size: int) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(long_texts, "PART", size)
            assert ours.encode(text) == theirs.encode(text).ids

    check()


@given(TEXTS, SIZES)
def test_parts_are_the_text(text: str, size: int) -> None:
    boundary = re.compile("(?<=[a ])(?=[b\n])")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(long_texts, "PART", size)
        parts = list(long_texts.parts(text, boundary, size))
    assert "".join(parts) == text and all(parts)
    at = 0
    for part in parts[:-1]:
        at += len(part)
        assert len(part) >= size and boundary.match(text, at)
        # The first place that would do was taken.
        assert not any(boundary.match(text, i) for i in range(at - len(part) + size, at))


def test_cutting_keeps_memory_in_bounds(small_spm: Tokenizer) -> None:
    """Whatever the text's length, the library sees a few thousand characters at a time."""
    largest = 0

    class Spy:
        def encode(self, text: str) -> list[int]:
            nonlocal largest
            largest = max(largest, len(text))
            return [len(text)]

    backend = small_spm._backend
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "_processors", {(False, True): Spy()})
        tracemalloc.start()
        ids = small_spm.encode(LINE * 200_000, add_bos=False)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert sum(ids) == len(LINE) * 200_000 + 1
    assert largest < 20_000  # nothing else runs while a library encodes
    assert peak < 4 * len(LINE) * 200_000


@pytest.mark.parametrize("word", ["a" * 30, " " * 30, "\n" * 30 + "a" * 30])
def test_a_word_without_end_is_an_error(
    small_spm: Tokenizer,
    small_bpe: tuple[Tokenizer, HFTokenizer],
    monkeypatch: pytest.MonkeyPatch,
    word: str,
) -> None:
    monkeypatch.setattr(long_texts, "PART", 10)
    for tokenizer in (small_spm, small_bpe[0]):
        monkeypatch.setattr(long_texts, "_MAX_PART", 1000)
        ids = tokenizer.encode(word)
        monkeypatch.setattr(long_texts, "_MAX_PART", 25)
        with pytest.raises(TokenizerError, match=r"within 25 characters, got (30|31|60)"):
            tokenizer.encode(word)
        # Within the limit, and with words that end, it is none.
        assert ids and tokenizer.encode("abc\n" * 100)


JOINS = {
    "a newline inside": "a\nb", "a newline at the end": "a\n", "a newline first": "\na",
    "a space inside": "a▁b", "a space at the end": "a▁", "a space after spaces": "▁▁a▁",
    "both inside": "a\nb▁c",
    # Characters that share the sign's bytes, if not its meaning.
    "a space after a quarter block": "▖▁", "a space after a dotted mark": "\u2056▁",
}  # fmt: skip


@pytest.mark.parametrize("name", JOINS)
@pytest.mark.parametrize("is_user_defined", [False, True])
def test_pieces_that_join_words_or_lines_are_not_cut(
    trained: Path, tmp_path: Path, vocabularies: Any, name: str, is_user_defined: bool
) -> None:
    model = vocabularies.read_model(trained)
    piece, kind = JOINS[name], (4 if is_user_defined else 1)
    parts = {piece[:n] for n in range(1, len(piece) + 1)} | set(piece)
    for text in sorted(parts - {p.piece for p in model.pieces}, key=len):
        model.pieces.add(piece=text, score=0.0, type=kind if text == piece else 1)
    model.trainer_spec.vocab_size = len(model.pieces)
    path = vocabularies.write_sentencepiece(tmp_path / "m.gguf", model)
    ours, theirs = Tokenizer.from_path(path), vocabularies.processor(model, dummy_prefix=True)
    joined = ours.id_of(piece)
    surface = piece.replace("▁", " ")
    assert joined in ours.encode(f"x{surface}x")

    @settings(max_examples=60)
    @given(st.lists(st.sampled_from([surface, *surface, "x", "y "]), max_size=20), SIZES)
    def check(words: list[str], size: int) -> None:
        text = "".join(words)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(long_texts, "PART", size)
            assert ours.encode(text, add_bos=False) == theirs.encode(text)

    check()


@pytest.mark.parametrize("special_type", [3, 4])
def test_added_tokens_that_join_lines_are_not_cut(
    tmp_path: Path, vocabularies: Any, special_type: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = vocabularies.train_byte_level("gpt-2", ("end\nbegin", "end of"))
    path = made.write(tmp_path / "m.gguf", special_type=special_type)
    ours, theirs = Tokenizer.from_path(path), made.tokenizer(parses=True)
    monkeypatch.setattr(long_texts, "PART", 3)
    text = "a\nb\nend\nbegin\nc end\nbegin of the end of a b c"
    assert ours.encode(text, parse_markers=True) == theirs.encode(text).ids
    plain = theirs if special_type == 4 else made.tokenizer(parses=False)
    assert ours.encode(text) == plain.encode(text).ids


def test_a_newline_piece_alone_joins_nothing(
    trained: Path, tmp_path: Path, vocabularies: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = vocabularies.read_model(trained)

    def fill(writer: gguf.GGUFWriter) -> None:
        model.pieces.add(piece="\n", score=0.0, type=1)
        model.trainer_spec.vocab_size = len(model.pieces)
        vocabularies.add_sentencepiece(writer, model)

    ours = Tokenizer.from_path(vocabularies.write_gguf(tmp_path / "m.gguf", fill))
    monkeypatch.setattr(long_texts, "PART", 2)
    theirs = vocabularies.processor(model, dummy_prefix=True)
    for text in ("a\n\nb c\n", "\n\n\n", " \n a"):
        assert ours.encode(text, add_bos=False) == theirs.encode(text)
