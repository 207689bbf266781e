"""Parts of a tokenizer.json that would be lost are refused by name, those without effect are not.

That what is accepted makes the package's ids is shown in test_byte_level_json.py.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from halfbyte.errors import ConversionError
from halfbyte.hf.auto_tokenizer import AutoTokenizer
from halfbyte.tokenizer import Tokenizer
from halfbyte.tokenizer.json_parts import check_space_decoder, surroundings

PATH = Path("tokenizer.json")
A = {"Sequence": {"id": "A", "type_id": 0}}
BOS = {"SpecialToken": {"id": "<|a|>", "type_id": 0}}
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
REPLACE = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}
STRIP = {"type": "Strip", "content": " ", "start": 1, "stop": 0}


def template(*single: Any, ids: Any = (300,)) -> dict[str, Any]:
    special = {"<|a|>": {"id": "<|a|>", "ids": list(ids), "tokens": ["<|a|>"]}}
    return {"type": "TemplateProcessing", "single": list(single), "pair": [A],
            "special_tokens": special}  # fmt: skip


@pytest.fixture(scope="module")
def data(vocabularies: Any) -> dict[str, Any]:
    made = vocabularies.train_byte_level("gpt-2", ("<|a|>", "<|b|>"), 300)
    return json.loads(made.tokenizer(parses=True).to_str())


def load(folder: Path, data: dict[str, Any]) -> Tokenizer:
    (folder / "tokenizer.json").write_text(json.dumps(data), "utf-8")
    return Tokenizer.from_path(folder)


def token(i: int, content: str, **more: Any) -> dict[str, Any]:
    return {"id": i, "content": content, "special": True, **more}


REFUSED: list[tuple[str, Any, str]] = [
    ("model.dropout", 0.1, "model.dropout"),
    ("model.dropout", True, "model.dropout"),
    ("model.continuing_subword_prefix", "##", "model.continuing_subword_prefix"),
    ("model.end_of_word_suffix", "</w>", "model.end_of_word_suffix"),
    ("model.fuse_unk", 1, "model.fuse_unk"),
    ("model.byte_fallback", "no", "model.byte_fallback"),
    ("model.ignore_merges", None, "model.ignore_merges"),
    ("model.unk_token", 5, "model.unk_token"),
    ("model.later_setting", 1, "model.later_setting"),
    ("model.type", "Unigram", "model"),
    ("model", 5, "model"),
    ("decoder", {"type": "WordPiece"}, "decoder"),
    ("decoder", {"type": "Sequence", "decoders": [BYTES, {"type": "Fuse"}]}, "decoder"),
    ("post_processor", {"type": "Unknown"}, "post_processor"),
    ("post_processor", 5, "post_processor"),
    ("post_processor", template(BOS), "post_processor: single"),
    ("post_processor", template(A, A), "post_processor: single"),
    ("post_processor", template(BOS, A, ids=[-1]), "post_processor: single"),
    ("post_processor", template({"SpecialToken": {"id": "x"}}, A), "post_processor: single"),
    ("post_processor", template(BOS, A, ids=[10**6]), "post_processor"),
    ("post_processor", template(BOS, BOS, A), "post_processor"),
    ("post_processor", {"type": "Sequence", "processors": [template(BOS, A)] * 2},
     "post_processor"),
    ("post_processor", {"type": "BertProcessing", "sep": 5, "cls": 5}, "post_processor"),
    ("pre_tokenizer", {"type": "Sequence", "pretokenizers": [BYTES, BYTES]}, "pre_tokenizer"),
    ("pre_tokenizer", {"type": "Split", "pattern": {"Regex": "x"}, "behavior": "Isolated"},
     "pre_tokenizer"),
    ("normalizer", {"type": "Nmt"}, "normalizer"),
    ("version", "2.0", "version"),
    ("truncation", 5, "truncation"),
    ("padding", [], "padding"),
    ("something", {}, "something"),
    ("added_tokens", 5, "added_tokens"),
    ("added_tokens", [5], r"added_tokens\[0\]"),
    ("added_tokens", [token(-1, "x")], r"added_tokens\[0\]: id"),
    ("added_tokens", [token(2**40, "x")], r"added_tokens\[0\]: id"),
    ("added_tokens", [token(True, "x")], r"added_tokens\[0\]: id"),
    ("added_tokens", [token(298, "")], r"added_tokens\[0\]: content"),
    ("added_tokens", [token(298, "\ud800")], r"added_tokens\[0\]: added token"),
    ("added_tokens", [token(298, "x", lstrip=1)], r"added_tokens\[0\]: lstrip"),
    ("added_tokens", [token(298, "x1"), token(298, "y1")], r"added_tokens\[1\]: id 298"),
    ("added_tokens", [token(298, "x1"), token(299, "x1")], "added token 'x1'"),
    ("added_tokens", [token(400, "x1")], "added token 'x1'"),
    ("added_tokens", [token(5, "x1")], "added tokens"),  # the place of another piece
    ("added_tokens", [token(5, "a")], "added tokens"),  # which has another id
]  # fmt: skip


@pytest.mark.parametrize(("part", "value", "name"), REFUSED)
def test_what_would_be_lost_is_refused_by_name(
    data: dict[str, Any], tmp_path: Path, part: str, value: Any, name: str
) -> None:
    changed = copy.deepcopy(data)
    within, _, key = part.rpartition(".")
    (changed[within] if within else changed)[key] = value
    with pytest.raises(ConversionError, match=rf"tokenizer\.json: {name}: expected"):
        load(tmp_path, changed)


def test_what_has_no_effect(data: dict[str, Any], tmp_path: Path) -> None:
    plain = load(tmp_path, data)
    neutral = {
        "dropout": 0.0, "continuing_subword_prefix": "", "end_of_word_suffix": "",
        "fuse_unk": True, "byte_fallback": True, "unk_token": "a",
    }  # fmt: skip
    changed = data | {
        "model": data["model"] | neutral, "decoder": None,
        "truncation": {"max_length": 3, "strategy": "LongestFirst", "stride": 0,
                       "direction": "Right"},
        "padding": {"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": None,
                    "pad_id": 0, "pad_type_id": 0, "pad_token": "a"},
    }  # fmt: skip
    old = {name: value for name, value in changed["model"].items() if name != "type"}
    for one in (changed, changed | {"model": old}):
        assert load(tmp_path, one).vocabulary == plain.vocabulary
    ids = AutoTokenizer.from_pretrained(tmp_path).encode("def f(x): return 12345")
    assert ids == plain.encode("def f(x): return 12345", add_bos=False) and len(ids) > 3


def test_an_unknown_token_is_refused_where_bytes_lack_a_piece(
    data: dict[str, Any], tmp_path: Path
) -> None:
    changed = copy.deepcopy(data)
    vocab = changed["model"]["vocab"]
    last = max(vocab, key=vocab.get)
    vocab[last.replace(last, "é" + last)] = vocab.pop("é", vocab[last])  # é is a byte's piece
    changed["model"]["merges"] = []
    changed["added_tokens"] = []
    pieces = sorted(vocab, key=vocab.get)
    changed["model"]["vocab"] = {piece: i for i, piece in enumerate(pieces)}
    load(tmp_path, changed)
    for name, value in (("unk_token", "a"), ("byte_fallback", True)):
        lost = changed | {"model": changed["model"] | {name: value}}
        with pytest.raises(ConversionError, match=f"model.{name}: expected none"):
            load(tmp_path, lost)


def test_what_goes_around_a_text() -> None:
    assert surroundings(PATH, None) is None and surroundings(PATH, BYTES) is None
    assert surroundings(PATH, template(BOS, A, BOS)) == ([300], [300])
    assert surroundings(PATH, {"type": "Sequence", "processors": [BYTES, template(A)]}) == ([], [])
    roberta = {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 1]}
    assert surroundings(PATH, roberta) == ([1], [2])


@pytest.mark.parametrize(
    ("decoder", "adds_space"),
    [
        ([REPLACE, {"type": "ByteFallback"}, {"type": "Fuse"}, STRIP], True),
        ([REPLACE, {"type": "ByteFallback"}, {"type": "Fuse"}], False),
        ([{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"}], True),
        ([{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never"}], False),
    ],
)
def test_decoders_of_spaces(decoder: Any, adds_space: bool) -> None:
    spec = {"type": "Sequence", "decoders": decoder}
    check_space_decoder(PATH, spec, adds_space=adds_space)
    check_space_decoder(PATH, None, adds_space=adds_space)
    others = [spec | {"decoders": [*decoder, {"type": "WordPiece"}]}, spec | {"decoders": 5}]
    for other, adds in ((spec, not adds_space), *((one, adds_space) for one in others)):
        with pytest.raises(ConversionError, match=r"tokenizer\.json: decoder: expected"):
            check_space_decoder(PATH, other, adds_space=adds)
