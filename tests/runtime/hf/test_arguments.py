"""What the tokenizer refuses, by name."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import sentencepiece

from halfbyte.errors import ModelFileError, RequestError, TokenizerError
from halfbyte.hf.tokenizer import CodeLlamaTokenizer


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"stride": -1}, "stride"),
        ({"stride": 3, "truncation": True, "max_length": 3, "return_overflowing_tokens": True},
         "stride"),
        ({"text_target": "a"}, "text_target"),
        ({"no_such_option": None}, "no_such_option"),
        ({"padding": "longer"}, "padding"),
        ({"padding": 1}, "padding"),
        ({"truncation": "first"}, "truncation"),
        ({"padding_side": "middle"}, "padding_side"),
        ({"return_tensors": "tf"}, "return_tensors"),
        ({"max_length": 0}, "max_length"),
        ({"max_length": True}, "max_length"),
        ({"pad_to_multiple_of": -8}, "pad_to_multiple_of"),
        ({"return_token_type_ids": True, "add_special_tokens": False}, "return_token_type_ids"),
        ({"padding": True, "truncation": True, "max_length": 6, "pad_to_multiple_of": 4},
         "max_length"),
        ({"suffix": 3}, "suffix"),
    ],
)  # fmt: skip
def test_options_that_are_refused(
    tokenizer: CodeLlamaTokenizer, options: dict[str, Any], name: str
) -> None:
    for text in ("a b c d e f", ["a b c d e f", "b"]):
        with pytest.raises(RequestError) as caught:
            tokenizer(text, **options)
        assert caught.value.param == name
        assert isinstance(caught.value, ValueError) or name in ("return_tensors", "suffix")


def test_absent_options_may_be_left_off(tokenizer: CodeLlamaTokenizer) -> None:
    off = {"stride": 0, "return_overflowing_tokens": False, "return_offsets_mapping": False}
    assert tokenizer("a", **off, text_target=None, text_pair_target=None) == tokenizer("a")


@pytest.mark.parametrize("text", [None, 3, [None], [["a", "b", "c"]], {"a": 1}, [3]])
def test_inputs_that_are_no_text(tokenizer: CodeLlamaTokenizer, text: Any) -> None:
    with pytest.raises(RequestError):
        tokenizer(text)


def test_pairs_that_do_not_fit(tokenizer: CodeLlamaTokenizer) -> None:
    for pair in ("b", ["b"], ["b", "c", "d"]):
        with pytest.raises(RequestError, match="text_pair: expected a list of 2"):
            tokenizer(["a", "b"], pair)
    with pytest.raises(RequestError, match="a list"):
        tokenizer.batch_encode_plus("text")
    with pytest.raises(RequestError, match="input_ids"):
        tokenizer.pad({"ids": [1]})
    with pytest.raises(RequestError, match="attention_mask: expected 2 rows"):
        tokenizer.pad({"input_ids": [[1], [2]], "attention_mask": [[1]]})
    with pytest.raises(TokenizerError, match="surrogate"):
        tokenizer("\udc80")


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"no_such_argument": 1}, "no_such_argument"),
        ({"sp_model_kwargs": {"enable_sampling": True}}, "sp_model_kwargs"),
        ({"padding_side": "up"}, "padding_side"),
        ({"truncation_side": None}, "truncation_side"),
        ({"model_max_length": 0}, "model_max_length"),
        ({"pad_token": 3}, "pad_token"),
        ({"prefix_token": 3}, "prefix_token"),
    ],
)
def test_arguments_that_are_refused(file: Path, arguments: dict[str, Any], name: str) -> None:
    for make in (CodeLlamaTokenizer, CodeLlamaTokenizer.from_pretrained):
        with pytest.raises(RequestError, match=name) as caught:
            make(file, **arguments)
        assert caught.value.param == name


def test_loading_arguments(file: Path) -> None:
    load = CodeLlamaTokenizer.from_pretrained
    off = {"revision": "main", "token": None, "cache_dir": None, "force_download": False}
    tokenizer = load(file, use_fast=True, trust_remote_code=False, local_files_only=True, **off)
    assert tokenizer.name_or_path == str(file)
    for name, value in (("revision", "v2"), ("proxies", {"http": "x"}), ("subfolder", "x")):
        with pytest.raises(RequestError) as caught:
            load(file, **{name: value})
        assert caught.value.param == name


def test_files_that_are_no_vocabulary(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(b"not a model")
    for path in (tmp_path, tmp_path / "tokenizer.model"):
        with pytest.raises(ModelFileError, match="sentencepiece"):
            CodeLlamaTokenizer.from_pretrained(path)
    (tmp_path / "text").write_text("some words to count\nand more of them\n" * 20)
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "text"), model_prefix=str(tmp_path / "unigram"), vocab_size=30,
        model_type="unigram", hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    with pytest.raises(ModelFileError, match="model_type: expected BPE, got UNIGRAM"):
        CodeLlamaTokenizer(tmp_path / "unigram.model")
    with pytest.raises(ModelFileError, match="no such file"):
        CodeLlamaTokenizer(tmp_path / "absent.model")
    (tmp_path / "tokenizer_config.json").write_text("[1]")
    with pytest.raises(ModelFileError):
        CodeLlamaTokenizer.from_pretrained(tmp_path)


def test_the_old_name_of_the_longest_length(file: Path, tmp_path: Path) -> None:
    """It counts where nothing states the new one, as a published folder does."""
    assert CodeLlamaTokenizer(file, max_len=7).model_max_length == 7
    assert CodeLlamaTokenizer(file, max_len=7, model_max_length=9).model_max_length == 9
    shutil.copy(file, tmp_path / "tokenizer.model")
    (tmp_path / "tokenizer_config.json").write_text('{"model_max_length": 9}')
    assert CodeLlamaTokenizer.from_pretrained(tmp_path, max_len=7).model_max_length == 9
