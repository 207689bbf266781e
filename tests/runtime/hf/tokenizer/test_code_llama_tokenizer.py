"""CodeLlamaTokenizer's rules on a small vocabulary; the answers come from plain sentencepiece."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halfbyte.errors import RequestError, TokenizerError
from halfbyte.hf.errors import FillMarkerError, TokenIdError
from halfbyte.hf.tokenizer import CodeLlamaTokenizer

MARKED = ("<s>", "</s>", "<unk>", "<FILL_ME>", "<PRE>", "<SUF>", "<MID>", "<EOT>", "▁")
PARTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.sampled_from(["<", "s>", " ", "   ", "\n", "<0x0A>", "<P", "RE>", " <EOT", "def f(x):"]),
)
# Every text comes back but for underlines, which become spaces, and texts that spell tokens.
PLAIN = (
    st.lists(PARTS, max_size=5)
    .map("".join)
    .filter(lambda text: not any(mark in text for mark in MARKED))
)
quick = settings(max_examples=100)


# Text to ids.


@quick
@given(PLAIN)
def test_plain_text(vocabularies: Any, model: Any, file: Path, text: str) -> None:
    processor = vocabularies.processor(model, dummy_prefix=True)
    tokenizer = CodeLlamaTokenizer(file)
    assert tokenizer.encode(text) == [1, *processor.encode(text)]
    assert tokenizer.encode(text, add_special_tokens=False) == processor.encode(text)
    assert tokenizer.tokenize(text) == processor.encode(text, out_type=str)


@quick
@given(PLAIN)
def test_decoding_gives_the_text_back(file: Path, text: str) -> None:
    tokenizer = CodeLlamaTokenizer(file)
    assert tokenizer.decode(tokenizer.encode(text), skip_special_tokens=True) == text
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


def test_underlines_are_spaces(tokenizer: CodeLlamaTokenizer) -> None:
    assert tokenizer.encode("a▁b") == tokenizer.encode("a b")
    assert tokenizer.decode(tokenizer.encode("a▁b"), skip_special_tokens=True) == "a b"
    tokenizer.add_tokens(["x▁y"])
    assert "x▁y" not in tokenizer.tokenize("x▁y")


def test_special_tokens_are_found_in_plain_text(
    tokenizer: CodeLlamaTokenizer, cut: Callable[[str], list[int]]
) -> None:
    assert tokenizer.encode("a<s>b</s> c") == [1, *cut("▁a"), 1, *cut("b"), 2, *cut(" c")]
    assert tokenizer.encode("<unk>") == [1, 0]
    assert tokenizer.encode("<s>a", add_special_tokens=False) == [1, *cut("a")]
    as_text = tokenizer.encode("a<s>b", split_special_tokens=True)
    assert as_text == [1, *cut("▁a<s>b")] and as_text.count(1) == 1
    assert tokenizer.tokenize("a<s>", split_special_tokens=True)[-1] != "<s>"


def test_a_lone_space_before_a_special_token_is_dropped(
    tokenizer: CodeLlamaTokenizer, ids: dict[str, int], cut: Callable[[str], list[int]]
) -> None:
    assert tokenizer.tokenize("<s>") == ["<s>"]
    assert tokenizer.tokenize("<s>a")[0] == "<s>"
    assert cut("▁ <PRE>") == [ids["▁"], ids["▁<PRE>"]]
    assert tokenizer.tokenize(" <PRE>") == tokenizer.tokenize("<PRE>") == ["▁<PRE>"]
    # Only a lone one: two spaces stay, and so does a space before plain text.
    assert tokenizer.tokenize(" <s>") == ["▁▁", "<s>"]
    tokenizer.add_tokens(["<A>"])
    assert tokenizer.tokenize("<A>x")[:2] == ["▁", "<A>"]
    assert tokenizer.encode("  ") == [1, *cut("▁  ")]


def test_markers_merge_in_plain_text(
    tokenizer: CodeLlamaTokenizer, ids: dict[str, int], cut: Callable[[str], list[int]]
) -> None:
    assert tokenizer.encode("a <EOT>") == [1, *cut("▁a"), ids["▁<EOT>"]]


# Infilling.


@pytest.mark.parametrize("prefix", ["def f(x):\n", "", " a", "<s>", "▁<MID>"])
@pytest.mark.parametrize("suffix", ["\n    return x", " b", "</s>", "x"])
def test_prompts_for_infilling(
    tokenizer: CodeLlamaTokenizer, ids: dict[str, int], cut: Callable[[str], list[int]],
    prefix: str, suffix: str,
) -> None:  # fmt: skip
    pre, suf, mid = ids["▁<PRE>"], ids["▁<SUF>"], ids["▁<MID>"]
    # Nothing is searched for in the parts; only the prefix has a space before it.
    before = cut("▁" + prefix.replace("▁", " ")) if prefix else []
    after = cut(suffix)
    psm = [1, pre, *before, suf, *after, mid]
    spm = [1, pre, suf, *after, mid, *before]
    filled = f"{prefix}<FILL_ME>{suffix}"
    assert tokenizer.encode(prefix, suffix=suffix) == tokenizer.encode(filled) == psm
    assert tokenizer.encode(prefix, suffix=suffix, suffix_first=True) == spm
    assert tokenizer(filled, suffix_first=True).input_ids == spm
    assert tokenizer.convert_tokens_to_ids(tokenizer.tokenize(prefix, suffix)) == psm[1:]
    assert tokenizer.convert_tokens_to_ids(tokenizer.tokenize(prefix, suffix, True)) == spm[1:]


def test_order_of_the_constructor(file: Path, tokenizer: CodeLlamaTokenizer) -> None:
    """It counts only where a call says None: a call's own default is the prefix first."""
    first = CodeLlamaTokenizer(file, suffix_first=True)
    psm = tokenizer.encode("a<FILL_ME>b")
    spm = tokenizer.encode("a<FILL_ME>b", suffix_first=True)
    assert psm != spm
    assert first.encode("a<FILL_ME>b") == psm
    assert first.encode("a<FILL_ME>b", suffix_first=None) == spm
    assert tokenizer.encode("a<FILL_ME>b", suffix_first=None) == psm


def test_an_empty_suffix_is_plain_text_unless_asked(
    file: Path, tokenizer: CodeLlamaTokenizer, ids: dict[str, int], cut: Callable[[str], list[int]]
) -> None:
    infills = CodeLlamaTokenizer(file, empty_suffix_infills=True)
    pre, suf, mid = ids["▁<PRE>"], ids["▁<SUF>"], ids["▁<MID>"]
    for call in ({"text": "ab", "suffix": ""}, {"text": "ab<FILL_ME>"}):
        assert tokenizer.encode(**call) == tokenizer.encode("ab") == [1, *cut("▁ab")]
        assert infills.encode(**call) == [1, pre, *cut("▁ab"), suf, mid]
        assert infills.encode(**call, suffix_first=True) == [1, pre, suf, mid, *cut("▁ab")]
    assert infills.encode("ab") == tokenizer.encode("ab")


def test_fill_tokens(
    file: Path, tokenizer: CodeLlamaTokenizer, cut: Callable[[str], list[int]]
) -> None:
    for text in ("<FILL_ME><FILL_ME>", "a<FILL_ME>b<FILL_ME>c<FILL_ME>"):
        with pytest.raises(FillMarkerError, match=r"one <FILL_ME>, got \d") as caught:
            tokenizer.encode(text)
        assert isinstance(caught.value, (ValueError, RequestError))
        assert caught.value.got == text.count("<FILL_ME>")
    # With a suffix, the prompt is as it is.
    with_suffix = tokenizer.tokenize("a<FILL_ME>b", suffix="c")
    assert tokenizer.convert_tokens_to_string(with_suffix).count("<FILL_ME>") == 1
    other = CodeLlamaTokenizer(file, fill_token="<HERE>")
    assert other.encode("a<HERE>b") == tokenizer.encode("a<FILL_ME>b")
    assert other.fill_token == "<HERE>" and tokenizer.fill_token == "<FILL_ME>"
    none = CodeLlamaTokenizer(file, fill_token=None)
    assert none.encode("a<FILL_ME>b") == [1, *cut("▁a<FILL_ME>b")]


def test_every_text_of_a_batch_is_infilled(tokenizer: CodeLlamaTokenizer) -> None:
    texts = ["a<FILL_ME>b", "plain", "c<FILL_ME>", "<FILL_ME>d"]
    assert tokenizer(texts).input_ids == [tokenizer.encode(text) for text in texts]
    with_suffix = tokenizer(["a", "b"], suffix="c", suffix_first=True).input_ids
    assert with_suffix == [tokenizer.encode(t, suffix="c", suffix_first=True) for t in "ab"]


def test_a_vocabulary_without_infilling_pieces(llama_file: Path) -> None:
    tokenizer = CodeLlamaTokenizer(llama_file)
    names = ("prefix", "middle", "suffix", "eot")
    assert all(getattr(tokenizer, f"{name}_id") is None for name in names)
    assert all(getattr(tokenizer, f"{name}_token") is None for name in names)
    assert len(tokenizer) == tokenizer.vocab_size == 500
    stated = CodeLlamaTokenizer(llama_file, additional_special_tokens=["▁<PRE>", "<x>"])
    assert (len(stated), stated.prefix_id) == (501, None)
    added = {500: "▁<PRE>", 501: "▁<SUF>", 502: "▁<MID>"}
    grown = CodeLlamaTokenizer(llama_file, added_tokens_decoder=added)
    assert (grown.prefix_id, grown.suffix_id, grown.middle_id) == (500, 501, 502)
    assert grown.encode("<FILL_ME>b")[:3] == [1, 500, 501]
    assert tokenizer.all_special_ids == [1, 2, 0]
    assert tokenizer.decode(tokenizer.encode("a <PRE>"), skip_special_tokens=True) == "a <PRE>"
    for call in (lambda: tokenizer("a<FILL_ME>b"), lambda: tokenizer.tokenize("a", "b")):
        with pytest.raises(RequestError, match="infill"):
            call()


def test_markers_that_are_switched_off(file: Path) -> None:
    """As transformers' own test_no_infilling_init, argument without effect included."""
    tokenizer = CodeLlamaTokenizer(file, prefix_token=None, keep_accents=True)
    with pytest.raises(ValueError, match="infill"):
        tokenizer.tokenize("This is <FILL_ME> prefix")
    assert tokenizer.prefix_id is None and tokenizer.middle_id is not None


# BOS, EOS, pairs and masks.


@pytest.mark.parametrize("eos", [False, True])
@pytest.mark.parametrize("bos", [False, True])
def test_sequences_and_pairs(file: Path, bos: bool, eos: bool) -> None:
    tokenizer = CodeLlamaTokenizer(file, add_bos_token=bos, add_eos_token=eos)
    a, b = [5, 6], [7]
    around = lambda part, before, after: [before] * bos + part + [after] * eos  # noqa: E731
    one, two = around(a, 1, 2), around(b, 1, 2)
    assert tokenizer.build_inputs_with_special_tokens(a) == one
    assert tokenizer.build_inputs_with_special_tokens(a, b) == one + two
    mask = around([0, 0], 1, 1), around([0], 1, 1)
    assert tokenizer.get_special_tokens_mask(a) == mask[0]
    assert tokenizer.get_special_tokens_mask(a, b) == mask[0] + mask[1]
    assert tokenizer.create_token_type_ids_from_sequences(a) == [0] * len(one)
    types = [0] * len(one) + [1] * len(two)
    assert tokenizer.create_token_type_ids_from_sequences(a, b) == types
    assert tokenizer.num_special_tokens_to_add() == bos + eos
    assert tokenizer.num_special_tokens_to_add(pair=True) == 2 * (bos + eos)
    # The same through a call; each text has its own BOS.
    x, y = (tokenizer.encode(t, add_special_tokens=False) for t in ("a b", "c"))
    encoding = tokenizer("a b", "c", return_token_type_ids=True, return_special_tokens_mask=True)
    assert encoding.input_ids == around(x, 1, 2) + around(y, 1, 2)
    assert encoding.special_tokens_mask == tokenizer.get_special_tokens_mask(x, y)
    assert encoding.token_type_ids == tokenizer.create_token_type_ids_from_sequences(x, y)
    assert tokenizer([["a b", "c"]]).input_ids == [encoding.input_ids]
    assert tokenizer(["a b"], ["c"]).input_ids == [encoding.input_ids]


def test_masks_of_ids_with_special_tokens(
    tokenizer: CodeLlamaTokenizer, ids: dict[str, int]
) -> None:
    given = [1, 5, ids["▁<PRE>"], 0, 2, ids["▁<EOT>"], ids["▁<EOT><EOT>"]]
    mask = tokenizer.get_special_tokens_mask(given, already_has_special_tokens=True)
    assert mask == [1, 0, 1, 1, 1, 1, 0]
    with pytest.raises(ValueError, match="token_ids_1"):
        tokenizer.get_special_tokens_mask([1], [2], already_has_special_tokens=True)
    # Markers are part of the prompt: they are not added by build_inputs_with_special_tokens.
    encoding = tokenizer("a<FILL_ME>b", return_special_tokens_mask=True)
    assert sum(encoding.special_tokens_mask) == 1


def test_bos_and_eos_can_be_switched(tokenizer: CodeLlamaTokenizer) -> None:
    plain = tokenizer.encode("a", add_special_tokens=False)
    tokenizer.add_bos_token, tokenizer.add_eos_token = False, True
    assert tokenizer.encode("a") == [*plain, 2]
    tokenizer.eos_token = None
    with pytest.raises(ValueError, match="add_eos_token"):
        tokenizer.encode("a")


# Ids to text.


def test_only_the_very_first_piece_loses_its_space(
    tokenizer: CodeLlamaTokenizer, ids: dict[str, int]
) -> None:
    a, eot = tokenizer.encode("a", add_special_tokens=False), ids["▁<EOT>"]
    assert tokenizer.decode(a) == "a"
    assert tokenizer.decode([*a, *a]) == "a a"
    assert tokenizer.decode([1, *a]) == "<s> a"
    assert tokenizer.decode([1, *a], skip_special_tokens=True) == "a"
    assert tokenizer.decode([*a, eot]) == "a▁<EOT>"
    assert tokenizer.decode([*a, eot], skip_special_tokens=True) == "a"
    assert tokenizer.decode([eot, *a]) == "<EOT> a"
    assert tokenizer.decode([ids["▁▁"]]) == " "
    assert tokenizer.decode([*a, ids["▁<EOT><EOT>"]], skip_special_tokens=True) == "a <EOT><EOT>"
    assert tokenizer.decode([]) == tokenizer.convert_tokens_to_string([]) == ""


def test_bytes(tokenizer: CodeLlamaTokenizer, ids: dict[str, int]) -> None:
    euro = [ids[f"<0x{b:02X}>"] for b in "€".encode()]
    assert tokenizer.decode(euro) == "€"
    assert tokenizer.decode([euro[0], *euro, euro[1]]) == "\ufffd€\ufffd"
    assert tokenizer.decode(euro[:2]) == "\ufffd\ufffd"
    # A special token ends a character, unless it is left out.
    split = [*euro[:2], 1, euro[2]]
    assert tokenizer.decode(split) == "\ufffd\ufffd<s>\ufffd"
    assert tokenizer.decode(split, skip_special_tokens=True) == "€"


def test_kinds_of_ids(tokenizer: CodeLlamaTokenizer) -> None:
    given = tokenizer.encode("def f(x):")
    text = tokenizer.decode(given)
    assert tokenizer.decode(np.array(given)) == text
    assert tokenizer.decode([np.int64(i) for i in given]) == text
    assert tokenizer.decode(given[1]) == tokenizer.decode(np.int32(given[1]))
    rows = np.array([given, given])
    assert tokenizer.batch_decode(rows) == tokenizer.batch_decode([given, given]) == [text, text]
    assert tokenizer.decode(rows) == tokenizer.decode([given, given]) == [text, text]
    # As transformers 5 has it; an empty row beside others is an empty text.
    assert tokenizer.decode([]) == "" and tokenizer.decode([[], given]) == ["", text]
    for wrong in ([given, 1], [[["a"]]]):
        with pytest.raises(RequestError, match="token_ids"):
            tokenizer.decode(wrong)
    with pytest.raises(RequestError, match="token_ids"):
        tokenizer.decode("text")


@pytest.mark.parametrize(
    ("spaced", "tight"),
    [
        ("a . b ? c ! d , e", "a. b? c! d, e"),
        ("do n't I 'm it 's I 've we 're", "don't I'm it's I've we're"),
        ("rock ' n ' roll", "rock'n'roll"),
        ("a ; b", "a ; b"),
    ],
)
def test_cleaning_up(file: Path, spaced: str, tight: str) -> None:
    tokenizer = CodeLlamaTokenizer(file)
    given = tokenizer.encode(spaced, add_special_tokens=False)
    assert tokenizer.decode(given) == spaced
    assert tokenizer.decode(given, clean_up_tokenization_spaces=True) == tight
    always = CodeLlamaTokenizer(file, clean_up_tokenization_spaces=True)
    assert always.decode(given) == tight
    assert always.batch_decode([given], clean_up_tokenization_spaces=False) == [spaced]


def test_pieces(tokenizer: CodeLlamaTokenizer, ids: dict[str, int]) -> None:
    assert tokenizer.convert_tokens_to_ids("▁<PRE>") == ids["▁<PRE>"] == tokenizer.prefix_id
    assert tokenizer.convert_tokens_to_ids(["</s>", "no such piece"]) == [2, 0]
    assert tokenizer.convert_tokens_to_ids(None) is None
    assert tokenizer.convert_ids_to_tokens(2) == "</s>"
    assert tokenizer.convert_ids_to_tokens([1, 5, 2], skip_special_tokens=True) == ["<0x02>"]
    assert tokenizer.convert_tokens_to_string(["▁zzz", "▁a"]) == "zzz a"
    assert tokenizer.convert_tokens_to_string(["▁a", "<s>", "▁b", "zzz▁"]) == "a<s> bzzz▁"
    assert tokenizer.get_vocab() == ids and len(tokenizer) == tokenizer.vocab_size == len(ids)
    for token in (-1, len(ids)):
        with pytest.raises(TokenIdError, match=f"got {token}") as caught:
            tokenizer.convert_ids_to_tokens(token)
        assert isinstance(caught.value, (IndexError, TokenizerError))
