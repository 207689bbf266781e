"""Special tokens by role, and added tokens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import AddedToken

from halfbyte.hf.tokenizer import CodeLlamaTokenizer


def test_roles(tokenizer: CodeLlamaTokenizer, ids: dict[str, int]) -> None:
    markers = ["▁<PRE>", "▁<MID>", "▁<SUF>", "▁<EOT>"]
    assert tokenizer.special_tokens_map == {
        "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "</s>",
        "additional_special_tokens": markers,
    }  # fmt: skip
    assert tokenizer.all_special_tokens == ["<s>", "</s>", "<unk>", *markers]
    assert tokenizer.all_special_ids == [1, 2, 0, *(ids[m] for m in markers)]
    assert tokenizer.additional_special_tokens_ids == [ids[m] for m in markers]
    named = (tokenizer.prefix_id, tokenizer.middle_id, tokenizer.suffix_id, tokenizer.eot_id)
    assert named == tuple(ids[m] for m in markers)
    assert (tokenizer.mask_token, tokenizer.cls_token_id) == (None, None)
    tokenizer.pad_token = tokenizer.unk_token
    assert tokenizer.pad_token_id == 0
    tokenizer.pad_token_id = 2
    assert tokenizer.pad_token == "</s>"
    tokenizer.pad_token_id = None
    assert tokenizer.pad_token is None
    tokenizer.additional_special_tokens = ["a", "a"]
    assert tokenizer.additional_special_tokens == ["a"]
    with pytest.raises(ValueError, match="pad_token"):
        tokenizer.pad_token = 3  # type: ignore[assignment]


def test_added_tokens(tokenizer: CodeLlamaTokenizer, cut: Callable[[str], list[int]]) -> None:
    n = len(tokenizer)
    assert tokenizer.add_tokens(["<A>", "<B>", "<A>", "▁a"]) == 2
    assert tokenizer.add_tokens("<A>") == tokenizer.add_tokens([]) == 0
    assert (len(tokenizer), tokenizer.vocab_size) == (n + 2, n)
    assert tokenizer.convert_tokens_to_ids(["<A>", "<B>"]) == [n, n + 1]
    assert tokenizer.encode("x<A>y") == [1, *cut("▁x"), n, *cut("y")]
    # Added tokens that are not special are set off by spaces, and are not skipped.
    assert tokenizer.decode(tokenizer.encode("x<A>y")) == "<s> x <A> y"
    assert tokenizer.decode(tokenizer.encode("x<A>y"), skip_special_tokens=True) == "x <A> y"
    joined = tokenizer.decode([n, n + 1], spaces_between_special_tokens=False)
    assert joined == "<A><B>" and tokenizer.decode([n, n + 1]) == "<A> <B>"
    # Pieces without a text count at the end only.
    space = tokenizer.convert_tokens_to_ids("▁")
    assert tokenizer.decode([n, space]) == "<A> " and tokenizer.decode([space, n]) == "<A>"
    assert tokenizer.add_tokens(["<S>"], special_tokens=True) == 1
    assert tokenizer.additional_special_tokens[-1] == "<S>"
    assert tokenizer.add_special_tokens({"pad_token": "[PAD]"}) == 1
    assert tokenizer.pad_token_id == n + 3
    assert tokenizer.decode([n + 3], skip_special_tokens=True) == ""
    extend = {"additional_special_tokens": ["<C>"]}
    assert tokenizer.add_special_tokens(extend, replace_additional_special_tokens=False) == 1
    assert tokenizer.additional_special_tokens[-1] == "<C>"
    assert len(tokenizer.additional_special_tokens) == 6
    tokenizer.add_special_tokens(extend)
    assert tokenizer.additional_special_tokens == ["<C>"]
    assert tokenizer.get_added_vocab()["<C>"] == n + 4
    for bad in ({"no_token": "a"}, {"additional_special_tokens": "abc"}, {"pad_token": 3}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            tokenizer.add_special_tokens(bad)
    with pytest.raises(ValueError, match="new_tokens"):
        tokenizer.add_tokens([3])


def test_flags_of_added_tokens(tokenizer: CodeLlamaTokenizer) -> None:
    tokenizer.add_tokens([AddedToken("<L>", lstrip=True), AddedToken("<R>", rstrip=True)])
    tokenizer.encode("searched once")
    tokenizer.add_tokens([AddedToken("word", single_word=True)])
    tokenizer.add_tokens(["<L>"])  # keeps its flags
    assert tokenizer.tokenize("a  <L> b") == ["▁a", "<L>", "▁b"]
    assert tokenizer.tokenize("a <R>  b") == [*tokenizer.tokenize("a "), "<R>", "b"]
    assert tokenizer.tokenize("a word b")[2] == "word"
    assert "word" not in tokenizer.tokenize("a swords b")


def test_longest_added_token_wins(tokenizer: CodeLlamaTokenizer) -> None:
    tokenizer.add_tokens(["<A", "<AB>", "AB>C"])
    assert tokenizer.tokenize("x<AB>C")[-2:] == ["<AB>", "C"]


def test_special_tokens_of_the_constructor(file: Path, ids: dict[str, int]) -> None:
    tokenizer = CodeLlamaTokenizer(
        file, pad_token="<pad>", bos_token=AddedToken("<begin>"), additional_special_tokens=["<x>"]
    )
    n = len(ids)
    assert (tokenizer.bos_token_id, tokenizer.pad_token_id) == (n, n + 1)
    assert tokenizer.convert_tokens_to_ids("<x>") == n + 2
    assert tokenizer.encode("a")[0] == n
    given = tokenizer.encode("a<x>b<pad>")
    assert tokenizer.decode(given, skip_special_tokens=True) == "ab"
    # Those that the vocabulary lacked are set off by spaces, if they have no role.
    assert tokenizer.decode(given[1:]) == "a <x> b<pad>"
    lstrip = {2: {"content": "</s>", "special": True, "lstrip": True}}
    kept = CodeLlamaTokenizer(file, added_tokens_decoder=lstrip)
    assert kept.added_tokens_decoder[2].lstrip and not kept.added_tokens_decoder[1].lstrip
