"""What encodings tell about characters, words and overflow, against the `tokenizers` package.

The package is what transformers' fast tokenizers are; a sentencepiece vocabulary is rebuilt in it
as transformers does, with merges in the order of the pieces' scores.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors

from halfbyte.errors import RequestError
from halfbyte.hf.batch import BatchEncoding
from halfbyte.hf.tokenizer import CodeLlamaTokenizer, LlamaTokenizer, PreTrainedTokenizer
from halfbyte.hf.tokenizer.added_tokens import AddedToken as HalfbyteToken
from halfbyte.hf.tokenizer.json_tokenizer import JSONTokenizer

quick = settings(max_examples=100)
PARTS = ["def", " f", "(x)", "\n", "  ", "\t", "é", "漢", "😀", "e\u0301", "▁", "<s>", "</s>", "ab"]
TEXTS = st.lists(st.sampled_from(PARTS), max_size=8).map("".join)


def as_package(model: Any) -> Tokenizer:
    """The vocabulary of a sentencepiece model in the `tokenizers` package."""
    ids = {piece.piece: i for i, piece in enumerate(model.pieces)}
    merges = []
    for i, piece in enumerate(model.pieces):
        text = piece.piece
        cuts = [(text[:n], text[n:]) for n in range(1, len(text))]
        known = [(a, b) for a, b in cuts if a in ids and b in ids]
        merges += [(-piece.score, i, ids[a], ids[b], a, b) for a, b in known]
    pairs = [(a, b) for *_, a, b in sorted(merges)]
    made = Tokenizer(models.BPE(ids, pairs, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    made.add_special_tokens([AddedToken(t, normalized=False) for t in ("<unk>", "<s>", "</s>")])
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)]
    )
    return made


@pytest.fixture(scope="module")
def package(vocabularies: Any, llama_file: Path) -> Tokenizer:
    return as_package(vocabularies.read_model(llama_file))


@pytest.fixture(scope="module")
def llama(llama_file: Path) -> LlamaTokenizer:
    """The tokenizer that puts a space before the whole text alone, as the package does."""
    return LlamaTokenizer(llama_file, legacy=False, pad_token="</s>")


@pytest.fixture(scope="module")
def several(file: Path, llama_file: Path) -> list[PreTrainedTokenizer]:
    """Two that find a token which was added; the second puts spaces inside."""
    made: list[PreTrainedTokenizer] = [CodeLlamaTokenizer(file), LlamaTokenizer(llama_file)]
    for tokenizer in made:
        tokenizer.add_tokens(["(x)"])
    return made


def same(ours: BatchEncoding, theirs: Any, row: int = 0) -> None:
    """All that a row tells is what the package tells."""
    assert ours.tokens(row) == theirs.tokens
    assert ours.word_ids(row) == theirs.word_ids
    assert ours.sequence_ids(row) == theirs.sequence_ids
    assert ours["offset_mapping"][row] == theirs.offsets
    for i in range(len(theirs.ids)):
        chars = ours.token_to_chars(row, i)
        assert (None if chars is None else (0, *chars)) == (
            None if theirs.token_to_chars(i) is None else (0, *theirs.token_to_chars(i))
        )
        assert ours.token_to_word(row, i) == theirs.token_to_word(i)
        assert ours.token_to_sequence(row, i) == theirs.token_to_sequence(i)
    for sequence in range(theirs.n_sequences):
        for char in range(12):
            assert ours.char_to_token(row, char, sequence) == theirs.char_to_token(char, sequence)
            assert ours.char_to_word(row, char, sequence) == theirs.char_to_word(char, sequence)
        for word in range(3):
            for name in ("word_to_tokens", "word_to_chars"):
                got = getattr(ours, name)(row, word, sequence)
                assert got == getattr(theirs, name)(word, sequence), name


def covers(text: str, spans: list[tuple[int, int]]) -> None:
    """The spans go from one end of the text to the other; what is shared, is shared whole."""
    at = 0
    for i, (begin, end) in enumerate(spans):
        assert begin == at or (begin, end) == spans[i - 1] or (i == 1 and begin == 0)
        at = end
    assert at == len(text)


@quick
@given(text=TEXTS, second=TEXTS)
def test_sentencepieces(llama: LlamaTokenizer, package: Tokenizer, text: str, second: str) -> None:
    ours, theirs = llama([text], return_offsets_mapping=True), package.encode(text)
    if ours.input_ids[0] == theirs.ids:  # the package joins a prefix to spaces of the text
        same(ours, theirs)
    spans = ours["offset_mapping"][0][1:]
    covers(text, spans)
    pair = llama([text], [second], return_offsets_mapping=True)
    theirs = package.encode(text, second)
    if pair.input_ids[0] == theirs.ids:
        same(pair, theirs)
        assert pair.n_sequences == (2 if second else 1)


def test_most_texts_have_the_ids_of_the_package(llama: LlamaTokenizer, package: Tokenizer) -> None:
    """So that the comparison above compares something."""
    texts = ["def f(x):\n    return é😀", "a</s>b <s>", "漢字 e\u0301", "\n", "a▁b"]
    for text in texts:
        assert llama.encode(text) == package.encode(text).ids, text
        same(llama([text], return_offsets_mapping=True), package.encode(text))


@quick
@given(text=TEXTS)
def test_spans_cover_the_text(several: list[PreTrainedTokenizer], text: str) -> None:
    for one in several:
        encoding = one(text, return_offsets_mapping=True)
        covers(text, encoding.offset_mapping[1:])
        for piece, (begin, end) in zip(encoding.tokens(), encoding.offset_mapping, strict=True):
            if piece == "(x)":
                assert text[begin:end] == piece


@pytest.mark.parametrize("suffix_first", [False, True])
def test_prompts_for_infilling(tokenizer: CodeLlamaTokenizer, suffix_first: bool) -> None:
    """The marks stand for no text; prefix and suffix stand where they are in theirs."""
    text = "def f<FILL_ME>é(x)"
    how = {"suffix_first": suffix_first, "return_offsets_mapping": True}
    whole = tokenizer(text, **how)
    spans = [span for span in sorted(whole.offset_mapping) if span != (0, 0)]
    covers("def f", [span for span in spans if span[1] <= 5])
    covers("é(x)", [(begin - 14, end - 14) for begin, end in spans if begin >= 14])
    assert len([span for span in whole.offset_mapping if span == (0, 0)]) == 4
    assert all(b <= 5 or a >= 14 for a, b in spans)
    parts = tokenizer("def f", suffix="é(x)", **how)
    assert parts.input_ids == whole.input_ids and parts.n_sequences == 2
    places = list(zip(parts.offset_mapping, parts.sequence_ids(), strict=True))
    covers("def f", [span for span, sequence in places if sequence == 0])
    covers("é(x)", [span for span, sequence in places if sequence == 1])


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("stride", [0, 1, 2])
@pytest.mark.parametrize("max_length", [5, 6, 9])
def test_overflow(
    llama_file: Path, vocabularies: Any, side: str, stride: int, max_length: int
) -> None:
    llama = LlamaTokenizer(llama_file, legacy=False, truncation_side=side, pad_token="</s>")
    package = as_package(vocabularies.read_model(llama_file))
    package.enable_truncation(max_length, stride=stride, direction=side)
    texts = ["a b c d e f g h i j k", "x", "def f(x):\n    return é😀", ""]
    how: dict[str, Any] = {"truncation": True, "max_length": max_length, "stride": stride}
    how |= {"return_overflowing_tokens": True, "return_offsets_mapping": True}
    ours = llama(texts, **how)
    wholes = [package.encode(text) for text in texts]
    rows = [(i, row) for i, whole in enumerate(wholes) for row in (whole, *whole.overflowing)]
    assert ours["overflow_to_sample_mapping"] == [i for i, _ in rows]
    assert ours.input_ids == [row.ids for _, row in rows]
    for i, (_, row) in enumerate(rows):
        same(ours, row, i)
    # One text gives rows too, and arrays hold all of them.
    assert llama(texts[0], **how).input_ids == [row.ids for i, row in rows if i == 0]
    arrays = llama(texts, padding=True, return_tensors="np", **how)
    assert arrays.offset_mapping.shape == (*arrays.input_ids.shape, 2)
    assert arrays.overflow_to_sample_mapping.dtype == np.int64
    if max_length == 9:
        pair = llama(["x"], texts[:1], **{**how, "truncation": "only_second"})
        package.enable_truncation(9, stride=stride, direction=side, strategy="only_second")
        whole = package.encode("x", texts[0])
        assert pair.input_ids == [row.ids for row in (whole, *whole.overflowing)]
    with pytest.raises(RequestError, match="only_first"):
        llama("a b c d e f", "a b c d e f", **how)


def test_byte_level(vocabularies: Any, tmp_path: Path) -> None:
    trained = vocabularies.train_byte_level("smollm", ("<|begin|>", "<|end|>", "<|im_start|>"))
    package = trained.tokenizer(parses=True)
    package.save(str(tmp_path / "tokenizer.json"))
    json_tokenizer = JSONTokenizer(tmp_path / "tokenizer.json", bos_token="<|begin|>")
    texts = ["def f(x):\n    return é😀漢", " a  b<|im_start|>c", "", "12345 don't"]
    ours = json_tokenizer(texts, return_offsets_mapping=True)
    for i, text in enumerate(texts):
        same(ours, package.encode(text), i)
        covers(text, ours["offset_mapping"][i])
    # With BOS, all stands one further on.
    with_bos = JSONTokenizer(tmp_path / "tokenizer.json", bos_token="<|begin|>", add_bos_token=True)
    again = with_bos(texts[0], return_offsets_mapping=True)
    assert again.offset_mapping == [(0, 0), *ours["offset_mapping"][0]]
    assert again.word_ids() == [None, *ours.word_ids(0)]


def test_padding_words_and_indices(llama: LlamaTokenizer) -> None:
    encoding = llama(["a b", "a"], padding=True, padding_side="left", return_offsets_mapping=True)
    assert encoding["offset_mapping"][1] == [(0, 0), (0, 0), (0, 1)]
    assert encoding.word_ids(1) == [None, None, 0] and encoding.tokens(1)[0] == "</s>"
    assert encoding.char_to_token(0) == encoding.char_to_token(0, 0) == 1
    assert encoding.char_to_token(1, 0) == 2 and encoding.char_to_token(1, 1) is None
    assert encoding.token_to_chars(0) is None and encoding.token_to_chars(2) == (1, 3)
    words = llama(["a b", "é"], is_split_into_words=True)
    assert words.word_ids() == [None, 0, 0, 1, 1, 1] and words.word_to_tokens(0) == (1, 3)
    assert words.word_to_chars(1) == (0, 1)
    copied = pickle.loads(pickle.dumps(encoding))
    assert copied.tokens(1) == encoding.tokens(1)
    for call in (lambda: encoding.tokens(2), lambda: encoding.token_to_word(0, 9)):
        with pytest.raises(RequestError, match="index"):
            call()


def test_ids_stand_for_no_text(llama: LlamaTokenizer) -> None:
    ids = llama("a b").input_ids
    for encoding in (llama.prepare_for_model(ids), llama.pad([{"input_ids": ids}])):
        assert not encoding.is_fast and encoding.n_sequences is None
        with pytest.raises(RequestError, match="made of texts"):
            encoding.tokens()
    with pytest.raises(RequestError, match="return_offsets_mapping"):
        llama.prepare_for_model(ids, return_offsets_mapping=True)


@pytest.mark.parametrize("flags", [{"lstrip": True}, {"rstrip": True}, {}])
def test_added_tokens_take_the_spaces_that_they_strip(
    llama_file: Path, vocabularies: Any, flags: dict[str, bool]
) -> None:
    llama = LlamaTokenizer(llama_file, legacy=False)
    package = as_package(vocabularies.read_model(llama_file))
    llama.add_tokens([HalfbyteToken("<m>", special=False, **flags)])
    package.add_tokens([AddedToken("<m>", normalized=False, **flags)])
    for text in ("a  <m> b", "a<m>b", "a <m>  <m> é"):
        ours, theirs = llama([text], return_offsets_mapping=True), package.encode(text)
        assert ours.input_ids[0] == theirs.ids
        # The package spells such a token with its spaces; a piece of the vocabulary it is not.
        assert ours["offset_mapping"][0] == theirs.offsets
        assert ours.word_ids(0) == theirs.word_ids
