"""Byte-level tokenizer.json files of drawn parts: the package's ids, or a refusal by name."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as HFTokenizer

from halfbyte.converting.gguf_keys import add_vocabulary
from halfbyte.errors import ConversionError
from halfbyte.hf.auto_tokenizer import AutoTokenizer
from halfbyte.tokenizer import Tokenizer

BOS, EOS = "<|bos|>", "<|eos|>"
UNMERGED = ("score", "type", "ab")  # pieces that only `ignore_merges` finds
FLAGS = ("lstrip", "rstrip", "single_word", "normalized")
WORDS = ["<s>", "<end>", "ab", "Ab", "b ", "é", "e\u0301", " x", "x\n", "ﬁ", "日本", "12"]
TEXTS = st.lists(
    st.sampled_from([*WORDS, " ", "  ", "\n", "\t", "cafe\u0301", "café", "İ", "ß", "Å", "ǅ",
                     "def f(x):", "score", "type", "a", "b", "'s", "3456", "\u00a0", "\u3000",
                     "👍🏽"])
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    max_size=8,
).map("".join)  # fmt: skip

STEPS = st.one_of(
    st.sampled_from(["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents"]).map(
        lambda kind: {"type": kind}
    ),
    st.builds(
        lambda left, right: {"type": "Strip", "strip_left": left, "strip_right": right},
        st.booleans(), st.booleans(),
    ),
    st.sampled_from([" ", "x", "é"]).map(lambda text: {"type": "Prepend", "prepend": text}),
    st.builds(
        lambda old, new: {"type": "Replace", "pattern": {"String": old}, "content": new},
        st.sampled_from(["a", " ", "é", "<s>", "ab"]), st.sampled_from(["", "b", "  ", "\n"]),
    ),
)  # fmt: skip
NORMALIZERS = st.recursive(
    st.none() | STEPS,
    lambda part: st.lists(part.filter(bool), max_size=3).map(
        lambda parts: {"type": "Sequence", "normalizers": parts}
    ),
    max_leaves=4,
)
ADDED = st.lists(
    st.fixed_dictionaries(
        {"content": st.sampled_from(WORDS), "special": st.booleans()}
        | dict.fromkeys(FLAGS, st.booleans())
    ),
    unique_by=lambda token: token["content"],
    max_size=4,
)
AROUND = st.sampled_from([None, "bos", "both"])
MODEL = st.fixed_dictionaries(
    {
        "ignore_merges": st.booleans(),
        "fuse_unk": st.booleans(),
        "byte_fallback": st.booleans(),
        "unk_token": st.sampled_from([None, "a"]),
        "continuing_subword_prefix": st.sampled_from([None, ""]),
        "end_of_word_suffix": st.sampled_from([None, ""]),
        "dropout": st.sampled_from([None, 0.0]),
    }
)


def document(
    vocabularies: Any, pre: str, normalizer: Any, added: list[Any], model: Any, around: str | None
) -> dict[str, Any]:
    data: dict[str, Any] = copy.deepcopy(vocabularies.train_byte_level(pre, ()).state)
    vocab: dict[str, int] = data["model"]["vocab"]
    merges = [pair for pair in data["model"]["merges"] if "".join(pair) not in UNMERGED]
    data["model"] |= model | {"merges": merges}
    entries, n = [], len(vocab)
    ends = [{"content": t, "special": True} | dict.fromkeys(FLAGS, False) for t in (BOS, EOS)]
    for token in [*added, *ends]:
        i = vocab.get(token["content"])
        entries.append({"id": n if i is None else i, **token})
        n += i is None
    data |= {"normalizer": normalizer, "added_tokens": sorted(entries, key=lambda t: t["id"])}
    ids = {token["content"]: token["id"] for token in entries}
    if around:
        begin, end = ({"SpecialToken": {"id": text, "type_id": 0}} for text in (BOS, EOS))
        text = {"Sequence": {"id": "A", "type_id": 0}}
        data["post_processor"] = {
            "type": "TemplateProcessing", "pair": [text, {"Sequence": {"id": "B", "type_id": 1}}],
            "single": [begin, text, end] if around == "both" else [begin, text],
            "special_tokens": {
                t: {"id": t, "ids": [ids[t]], "tokens": [t]} for t in (BOS, EOS)
            },
        }  # fmt: skip
    return data


def through_gguf(vocabularies: Any, ours: Tokenizer, folder: Path) -> Tokenizer:
    """What a conversion writes, read again."""
    vocabularies.write_gguf(
        folder / "m.gguf", lambda writer: add_vocabulary(writer, ours.vocabulary)
    )
    return Tokenizer.from_path(folder / "m.gguf")


@settings(max_examples=40)
@given(
    pre=st.sampled_from(["gpt-2", "smollm", "qwen2", "llama-bpe", "deepseek-coder"]),
    normalizer=NORMALIZERS, added=ADDED, model=MODEL, around=AROUND,
    texts=st.lists(TEXTS, min_size=4, max_size=8),
)  # fmt: skip
def test_every_accepted_file_gives_the_packages_ids(
    vocabularies: Any, tmp_path_factory: pytest.TempPathFactory, pre: str, normalizer: Any,
    added: list[Any], model: Any, around: str | None, texts: list[str],
) -> None:  # fmt: skip
    data = document(vocabularies, pre, normalizer, added, model, around)
    folder = tmp_path_factory.mktemp("drawn")
    (folder / "tokenizer.json").write_text(json.dumps(data), "utf-8")
    theirs = HFTokenizer.from_str(json.dumps(data))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"bos_token": BOS, "eos_token": EOS}), "utf-8"
    )
    try:
        ours = Tokenizer.from_path(folder)
    except ConversionError as error:  # the package itself finds now one, now the other
        assert error.expected == "one that the normalizer tells from others"
        return
    converted = through_gguf(vocabularies, ours, folder)
    assert ours.vocabulary.add_eos == (around == "both" or None)
    vocab = theirs.get_vocab(with_added_tokens=True)
    assert {ours.piece(i): i for i in range(ours.n_vocab)} == vocab
    auto = [AutoTokenizer.from_pretrained(path) for path in (folder, folder / "m.gguf")]
    for text in texts:
        expected = theirs.encode(text, add_special_tokens=False).ids
        for tokenizer in (ours, converted):
            assert tokenizer.encode(text, add_bos=False, parse_markers=True) == expected
            whole = tokenizer.encode(text, parse_markers=True)
            if all(t["special"] and not t["normalized"] for t in added):
                assert tokenizer.encode_rendered(text) == expected
            begins = bool(around) or pre == "llama-bpe"  # which says so where a file does not
            assert whole == [vocab[BOS]] * begins + expected
        for tokenizer in auto:
            assert tokenizer.encode(text) == theirs.encode(text).ids
