"""Where texts are cut, and what else a name stands for, against llama.cpp.

benchmarks/make_cuts_golden.py wrote the golden answers.
"""

from __future__ import annotations

import json
from functools import cache
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, models, pre_tokenizers
from tokenizers import Tokenizer as HFTokenizer

from halfbyte.errors import ConversionError
from halfbyte.tokenizer import Vocabulary
from halfbyte.tokenizer.bpe import ByteLevelBackend, cutter
from halfbyte.tokenizer.cuts import CUTS
from halfbyte.tokenizer.pretokenizers import (
    _LEAVE_NOTHING,
    BEGINS_WITH_BOS,
    PLAIN,
    PRE_TOKENIZERS,
    WHOLE_PIECES_FIRST,
    pre_tokenizer_name,
)

GOLDEN = Path(__file__).resolve().parents[2] / "data" / "golden_cuts.json"


@cache
def golden() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(GOLDEN.read_text())
    return data


def test_names_and_habits_are_llama_cpps() -> None:
    names = golden()["names"]
    assert {*PRE_TOKENIZERS, *PLAIN} == names.keys()
    assert {name for name in names if names[name]["ignore_merges"]} == WHOLE_PIECES_FIRST
    # "add_bos" of the others is llama.cpp's false.
    begin = {name for name in names if names[name]["add_bos"]}
    gemma = {name for name in names if names[name]["type"] == "GEMMA4"}  # in another place there
    assert begin | gemma == BEGINS_WITH_BOS
    spells_spaces = {name for name in names if names[name]["escape_whitespaces"]}
    assert spells_spaces | {"whitespace"} == PLAIN.keys()


@pytest.mark.parametrize("name", [*PRE_TOKENIZERS, *PLAIN])
def test_texts_are_cut_where_the_families_own_expressions_cut_them(name: str) -> None:
    data = golden()
    type_id = data["names"][name]["type"]
    original = data["original_lengths"].get(type_id, {})
    for i, text in enumerate(data["texts"]):
        lengths = original.get(str(i), data["lengths"][type_id][i])
        expected = list(pairwise(accumulate(lengths, initial=0)))
        if name in PLAIN:
            made = pre_tokenizers.Split(Regex(PLAIN[name]), "isolated")
        else:
            made = cutter(PRE_TOKENIZERS[name])
        found = made.pre_tokenize_str(text)
        assert [span for _, span in found] == expected, text


@pytest.mark.parametrize("name", sorted(set(CUTS) - {"default"}))
def test_a_description_gets_the_name_that_cuts_as_it_does(name: str) -> None:
    steps = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in CUTS[name]]
    end = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    whole = HFTokenizer(models.BPE())
    whole.pre_tokenizer = pre_tokenizers.Sequence([*steps, end])
    spec = json.loads(whole.to_str())["pre_tokenizer"]
    assert pre_tokenizer_name(Path("tokenizer.json"), spec) == name


def test_an_expression_may_have_line_ends_themselves() -> None:
    """As in DeepSeek-V3's file."""
    steps = [pattern.replace(r"\r\n", "\r\n") for pattern in CUTS["deepseek-v3"]]
    assert tuple(steps) != CUTS["deepseek-v3"]
    made = [{"type": "Split", "pattern": {"Regex": step}, "behavior": "Isolated", "invert": False}
            for step in steps]  # fmt: skip
    made.append({"type": "ByteLevel", "add_prefix_space": False, "use_regex": False})
    spec = {"type": "Sequence", "pretokenizers": made}
    assert pre_tokenizer_name(Path("tokenizer.json"), spec) == "deepseek-v3"


@pytest.mark.parametrize("name", CUTS)
def test_where_a_long_text_is_parted_it_is_cut_anyway(name: str) -> None:
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    pieces = [piece.encode() for piece in alphabet]
    vocabulary = Vocabulary("v", "gpt2", pieces, [1] * len(pieces), [], pre=name)
    boundary = ByteLevelBackend(vocabulary, frozenset())._boundary
    assert bool(boundary.search("a\nb")) is (name != "superbpe")  # which keeps lines whole
    cut = cutter(PRE_TOKENIZERS[name]).pre_tokenize_str

    @settings(max_examples=30)
    @given(st.text("ab1.' \n\rÉ語²\u0301", max_size=40))
    def check(text: str) -> None:
        whole = [part for part, _ in cut(text)]
        for match in boundary.finditer(text):
            ends = (text[: match.start()], text[match.start() :])
            assert [part for end in ends for part, _ in cut(end)] == whole

    check()


@settings(max_examples=60)
@given(st.text(max_size=40) | st.text("ab1.' \n\r\t\x85É語²\u0301\u200b\ue000", max_size=40))
def test_expressions_that_may_be_said_to_remove_the_rest_leave_none(text: str) -> None:
    for pattern in _LEAVE_NOTHING:
        split = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
        assert "".join(part for part, _ in split.pre_tokenize_str(text)) == text


@pytest.mark.parametrize("name", ["llama-bpe", "bloom"])
def test_removing_what_does_not_match_is_cutting_if_all_matches(name: str) -> None:
    split = {
        "type": "Split", "pattern": {"Regex": CUTS[name][0]}, "behavior": "Removed", "invert": True
    }  # fmt: skip
    if name == "llama-bpe":
        assert pre_tokenizer_name(Path("tokenizer.json"), split) == name
        return
    with pytest.raises(ConversionError, match="a known step"):
        pre_tokenizer_name(Path("tokenizer.json"), split)
