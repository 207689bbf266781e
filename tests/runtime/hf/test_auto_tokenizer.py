"""AutoTokenizer: which class a model gets, and the ids of Llama's tokenizer."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import gguf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halfbyte.errors import ModelFileError, RequestError
from halfbyte.hf.auto_tokenizer import AutoTokenizer
from halfbyte.hf.tokenizer import CodeLlamaTokenizer, LlamaTokenizer

quick = settings(max_examples=100)


# The class.


def folder_of(tmp_path: Path, model: Path, **config: Any) -> Path:
    (tmp_path / "tokenizer.model").write_bytes(model.read_bytes())
    if config:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("CodeLlamaTokenizer", CodeLlamaTokenizer),
        ("CodeLlamaTokenizerFast", CodeLlamaTokenizer),
        ("LlamaTokenizer", LlamaTokenizer),
        ("LlamaTokenizerFast", LlamaTokenizer),
        ("TokenizersBackend", CodeLlamaTokenizer),
        (None, CodeLlamaTokenizer),
    ],
)
def test_folders_name_their_class(
    file: Path, tmp_path: Path, stated: str | None, expected: type
) -> None:
    config = {"tokenizer_class": stated, "fill_token": "<F>", "padding_side": "left"}
    folder = folder_of(tmp_path, file, **config)
    tokenizer = AutoTokenizer.from_pretrained(folder, truncation_side="left")
    assert type(tokenizer) is expected
    assert (tokenizer.padding_side, tokenizer.truncation_side) == ("left", "left")
    assert tokenizer.name_or_path == str(folder)
    assert getattr(tokenizer, "fill_token", "<F>") == "<F>"


def test_the_vocabulary_decides(
    vocabularies: Any, file: Path, llama_file: Path, model: Any, tmp_path: Path
) -> None:
    load = AutoTokenizer.from_pretrained
    assert type(load(file)) is CodeLlamaTokenizer
    assert type(load(llama_file)) is LlamaTokenizer
    assert type(load(folder_of(tmp_path, llama_file))) is LlamaTokenizer
    path = vocabularies.write_sentencepiece(tmp_path / "code.gguf", model)
    assert type(load(path)) is CodeLlamaTokenizer
    small = vocabularies.read_model(llama_file)
    path = vocabularies.write_sentencepiece(tmp_path / "llama.gguf", small)
    assert type(load(str(path), use_fast=True)) is LlamaTokenizer
    assert type(load("infill-10m")) is CodeLlamaTokenizer


def test_what_cannot_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"tokenizer\.model or tokenizer\.json"):
        AutoTokenizer.from_pretrained(tmp_path)
    with pytest.raises(RequestError, match="from_pretrained"):
        AutoTokenizer()
    with pytest.raises(RequestError, match="catalogue"):
        AutoTokenizer.from_pretrained("no-such-model")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelFileError, match=r"tokenizer\.json"):
        AutoTokenizer.from_pretrained(tmp_path)
    # Code Llama's is made of a sentencepiece model.
    config = '{"tokenizer_class": "CodeLlamaTokenizerFast"}'
    (tmp_path / "tokenizer_config.json").write_text(config)
    with pytest.raises(ModelFileError, match=r"tokenizer\.model"):
        AutoTokenizer.from_pretrained(tmp_path)


# Llama.


@quick
@given(st.lists(st.sampled_from(["<s>", "</s>", "<unk>", "a", " b", "  ", "▁", "é", "\n"])))
def test_llama(vocabularies: Any, llama_file: Path, parts: list[str]) -> None:
    """Every part that follows a special token is a text of its own, as in Llama 2's files."""
    tokenizer = LlamaTokenizer(llama_file)
    processor = vocabularies.processor(vocabularies.read_model(llama_file), dummy_prefix=True)
    special = {"<unk>": [0], "<s>": [1], "</s>": [2]}
    expected, text = [1], ""
    for part in [*parts, "</s>"]:
        if part in special:
            expected += processor.encode(text) + special[part]
            text = ""
        else:
            text += part
    assert tokenizer.encode("".join([*parts, "</s>"])) == expected


def test_llama_without_spaces_inside(vocabularies: Any, llama_file: Path, tmp_path: Path) -> None:
    processor = vocabularies.processor(vocabularies.read_model(llama_file), dummy_prefix=False)
    new = LlamaTokenizer(llama_file, legacy=False)
    assert new.encode("a<s>b") == [1, *processor.encode(" a"), 1, *processor.encode("b")]
    old = LlamaTokenizer(llama_file)
    assert old.encode("a<s>b") == [1, *processor.encode(" a"), 1, *processor.encode(" b")]
    folder = folder_of(tmp_path, llama_file, tokenizer_class="LlamaTokenizer", legacy=False)
    load = AutoTokenizer.from_pretrained
    assert load(folder).encode("a<s>b") == new.encode("a<s>b")
    # A tokenizer.json is what transformers follows, whatever the other file says.
    prepends = {"normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend"}]}}
    (folder / "tokenizer.json").write_text(json.dumps(prepends))
    assert load(folder).encode("a<s>b") == old.encode("a<s>b")
    assert load(folder, legacy=False).encode("a<s>b") == new.encode("a<s>b")
    cuts = {"pre_tokenizer": {"type": "Metaspace", "prepend_scheme": "first"}}
    (folder / "tokenizer.json").write_text(json.dumps(cuts))
    assert load(folder).encode("a<s>b") == new.encode("a<s>b")
    for tokenizer in (old, new):
        tokenizer.save_pretrained(tmp_path / "saved")
        again = load(tmp_path / "saved")
        assert type(again) is LlamaTokenizer
        assert again.encode("a<s>b") == tokenizer.encode("a<s>b")
        assert pickle.loads(pickle.dumps(tokenizer)).encode("ab") == tokenizer.encode("ab")


def test_llama_decodes(llama_file: Path) -> None:
    tokenizer = LlamaTokenizer(llama_file, pad_token="</s>", add_eos_token=True)
    ids = tokenizer.encode("a b")
    assert tokenizer.decode(ids) == "<s> a b</s>"
    assert tokenizer.decode(ids, skip_special_tokens=True) == "a b"
    assert tokenizer(["a", "a b"], padding=True, return_tensors="np").input_ids[0, -1] == 2
    with pytest.raises(RequestError, match="suffix"):
        tokenizer("a", suffix="b")


def test_vocabularies_that_put_no_space_before_a_text(
    vocabularies: Any, llama_file: Path, tmp_path: Path
) -> None:
    model = vocabularies.read_model(llama_file)
    processor = vocabularies.processor(model, dummy_prefix=False)

    def fill(writer: gguf.GGUFWriter) -> None:
        vocabularies.add_sentencepiece(writer, model)
        writer.add_add_space_prefix(False)

    tokenizer = AutoTokenizer.from_pretrained(vocabularies.write_gguf(tmp_path / "m.gguf", fill))
    tokenizer.save_pretrained(tmp_path / "saved")
    for one in (tokenizer, AutoTokenizer.from_pretrained(tmp_path / "saved")):
        assert one.encode("a b") == [1, *processor.encode("a b")]
        for text in ("a", " a"):
            assert one.decode(one.encode(text, add_special_tokens=False)) == text
