"""Vocabularies of plain text, against merging by hand as llama.cpp does."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import gguf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as HFTokenizer
from tokenizers import models, pre_tokenizers, trainers

from halfbyte.errors import ModelFileError, UnsupportedModelError
from halfbyte.hf.auto_tokenizer import AutoTokenizer
from halfbyte.tokenizer import Tokenizer, Vocabulary, long_texts

SPECIAL = ["<pad>", "<eos>", "<bos>", "<|turn>"]
TEXTS = st.text("ab  <e▁\n\n1é日<bos>", max_size=40)
Merges = list[tuple[str, str]]


@cache
def trained(source: str) -> tuple[list[str], Merges]:
    """Pieces and merges of lines, in which ▁ stands for a space."""
    tokenizer = HFTokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Split("\n", "isolated")
    trainer = trainers.BpeTrainer(vocab_size=500, show_progress=False, limit_alphabet=90)
    tokenizer.train_from_iterator([source.replace(" ", "▁")], trainer)
    state = json.loads(tokenizer.to_str())["model"]
    pieces = sorted(state["vocab"], key=state["vocab"].__getitem__)
    merges = [tuple(m.split(" ") if isinstance(m, str) else m) for m in state["merges"]]
    added = [("\n", "\n"), ("\n\n", "\n")]
    return [*pieces, "\n\n", "\n\n\n"], [*merges, *added]  # type: ignore[list-item]


def write(path: Path, vocabularies: Any, pre: str, model: str = "gpt2", **changed: Any) -> Path:
    pieces, merges = trained(vocabularies.SOURCE)
    merges = changed.get("merges", merges)

    def fill(writer: gguf.GGUFWriter) -> None:
        byte_pieces = [f"<0x{i:02X}>" for i in range(changed.get("n_bytes", 256))]
        writer.add_tokenizer_model(model)
        writer.add_tokenizer_pre(pre)
        writer.add_token_list([p.encode() for p in (*SPECIAL, *byte_pieces, *pieces)])
        writer.add_token_types([3, 3, 3, 4, *[6] * len(byte_pieces), *[1] * len(pieces)])
        writer.add_token_merges([" ".join(pair) for pair in merges])
        writer.add_eos_token_id(1)
        writer.add_bos_token_id(2)

    return vocabularies.write_gguf(path, fill)  # type: ignore[no-any-return]


def merged(text: str, vocabulary: Vocabulary, ids: dict[str, int]) -> list[int]:
    """A part's tokens: the lowest rank first, and of equal ones the leftmost."""
    ranks = {tuple(m.decode().split(" ")): i for i, m in enumerate(vocabulary.merges)}
    parts = list(text)
    while len(parts) > 1:
        rank, i = min((ranks.get((a, b), 10**9), i) for i, (a, b) in enumerate(pairwise(parts)))
        if rank == 10**9:
            break
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    found: list[int] = []
    for part in parts:
        found += [ids[part]] if part in ids else [ids[f"<0x{b:02X}>"] for b in part.encode()]
    return found


def expected(text: str, v: Vocabulary) -> list[int]:
    ids = {piece.decode(): i for i, piece in enumerate(v.pieces)}
    if v.pre == "whitespace":
        return [i for part in re.findall(r"\S+|\s+", text) for i in merged(part, v, ids)]
    found: list[int] = []
    for part in re.findall(r"[^\n]+|\n+", text.replace(" ", "▁")):
        words = [part]
        if v.pre == "mmbert" and part[0] != "\n":
            words = re.findall("▁[^▁]*", part if part[0] == "▁" else f"▁{part}")
        found += [i for word in words for i in merged(word, v, ids)]
    return found


@pytest.mark.parametrize(
    ("pre", "model"),
    [("gemma4", "gpt2"), ("other", "gemma4"), ("sarvam-moe", "gpt2"), ("mmbert", "gpt2"),
     ("granite-embed-multi-311m", "gpt2"), ("whitespace", "gpt2")],
)  # fmt: skip
def test_ids_are_those_of_merging_by_hand(
    tmp_path: Path, vocabularies: Any, pre: str, model: str
) -> None:
    tokenizer = Tokenizer.from_path(write(tmp_path / "m.gguf", vocabularies, pre, model))
    begins = pre in ("gemma4", "granite-embed-multi-311m") or model == "gemma4"
    assert tokenizer.encode("a")[:1] == [2] or not begins
    assert tokenizer.add_bos is begins

    @settings(max_examples=80)
    @given(TEXTS | st.text(max_size=20), st.integers(1, 20))
    def check(text: str, size: int) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(long_texts, "PART", size)
            ids = tokenizer.encode(text, add_bos=False)
        assert ids == expected(text, tokenizer.vocabulary)
        assert pre == "mmbert" or tokenizer.decode(ids) == text.replace(
            "▁", "▁" if pre == "whitespace" else " "
        )

    check()


def test_fragments_and_special_tokens(tmp_path: Path, vocabularies: Any) -> None:
    tokenizer = Tokenizer.from_path(write(tmp_path / "m.gguf", vocabularies, "mmbert"))
    plain = replace(tokenizer.vocabulary, pre="gemma4")
    assert tokenizer.encode("ab", add_bos=False) == expected("▁ab", plain)
    assert tokenizer.encode_fragment("ab\ncd") == expected("ab\n▁cd", plain)
    gemma = Tokenizer(plain)
    assert gemma.encode("a<bos>b", parse_markers=True) == [
        2, *expected("a", plain), 2, *expected("b", plain)
    ]  # fmt: skip
    assert 2 not in gemma.encode("a<bos>b", add_bos=False)
    assert 3 not in gemma.encode_fragment("a<|turn>b")
    assert gemma.encode_fragment("a<|turn>b", parse_markers=True)[1] == 3


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"n_bytes": 255}, "<0xFF>"),
        ({"merges": [("é", "quatre")]}, "pairs of pieces"),
        ({"merges": [("a", "b")]}, r"merges that make '\\n\\n"),
    ],
)
def test_vocabularies_that_cannot_work(
    tmp_path: Path, vocabularies: Any, changed: dict[str, Any], match: str
) -> None:
    pieces, _ = trained(vocabularies.SOURCE)
    assert "ab" in pieces or "merges" not in changed or changed["merges"][0] != ("a", "b")
    with pytest.raises(ModelFileError, match=match):
        Tokenizer.from_path(write(tmp_path / "m.gguf", vocabularies, "gemma4", **changed))


def test_the_transformers_interface_refuses_them(tmp_path: Path, vocabularies: Any) -> None:
    load: Callable[[Path], object] = AutoTokenizer.from_pretrained
    with pytest.raises(UnsupportedModelError, match="byte-level"):
        load(write(tmp_path / "m.gguf", vocabularies, "gemma4"))
