"""What lies beside a tokenizer, and which of two tokenizers is taken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from halfbyte.errors import ConversionError
from halfbyte.hf.auto_tokenizer import AutoTokenizer
from halfbyte.hf.tokenizer import LlamaTokenizer
from halfbyte.tokenizer import Tokenizer


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    (tmp_path / "tokenizer.model").write_bytes(trained.read_bytes())
    return tmp_path


def write(folder: Path, name: str, value: Any) -> Path:
    (folder / name).write_text(json.dumps(value))
    return folder


@pytest.mark.parametrize("data", [b"", b"version https://git-lfs.github.com/spec/v1\noid"])
def test_a_broken_model_beside_a_good_json(
    vocabularies: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, data: bytes
) -> None:
    made = vocabularies.train_byte_level("gpt-2", ("<|a|>",), 300)
    theirs = made.tokenizer(parses=True)
    (tmp_path / "tokenizer.model").write_bytes(data)
    with pytest.raises(ConversionError, match=r"tokenizer\.model: expected a sentencepiece"):
        Tokenizer.from_path(tmp_path)
    theirs.save(str(tmp_path / "tokenizer.json"))
    for name in (None, "LlamaTokenizer"):
        write(tmp_path, "tokenizer_config.json", {"tokenizer_class": name})
        caplog.clear()
        ids = Tokenizer.from_path(tmp_path).encode("def f(x)")
        assert ids == theirs.encode("def f(x)").ids
        assert "tokenizer.model: not used, tokenizer.json is" in caplog.text
        caplog.clear()
        assert AutoTokenizer.from_pretrained(tmp_path).encode("def f(x)") == ids
        assert "tokenizer.model: not used, tokenizer.json is" in caplog.text
    (tmp_path / "tokenizer.json").write_text("{}")  # no better
    with pytest.raises(ConversionError, match=r"tokenizer\.model: expected a sentencepiece"):
        Tokenizer.from_path(tmp_path)
    with pytest.raises(ConversionError, match=r"tokenizer\.model: expected a sentencepiece"):
        LlamaTokenizer.from_pretrained(tmp_path / "tokenizer.model")


def test_the_older_list_of_special_tokens(folder: Path) -> None:
    write(folder, "special_tokens_map.json", {"eos_token": {"content": "def"}, "pad_token": None})
    eos = Tokenizer.from_path(folder).eos_id
    assert eos == Tokenizer.from_path(folder).id_of("def") is not None
    assert LlamaTokenizer.from_pretrained(folder).eos_token_id == eos
    # Once the newer file lists the added tokens, it says which have roles, too.
    write(folder, "tokenizer_config.json", {
        "added_tokens_decoder": {"1": {"content": "<s>"}}, "eos_token": "</s>",
    })  # fmt: skip
    assert Tokenizer.from_path(folder).eos_id == 2
    assert LlamaTokenizer.from_pretrained(folder).eos_token_id == 2


def test_what_ends_a_whole_text_is_kept(folder: Path, vocabularies: Any, tmp_path: Path) -> None:
    """For programs that encode whole texts; a prompt goes on."""
    from halfbyte.converting.gguf_keys import add_vocabulary

    write(folder, "tokenizer_config.json", {"add_eos_token": True})
    ours = Tokenizer.from_path(folder)
    path = vocabularies.write_gguf(
        tmp_path / "m.gguf", lambda writer: add_vocabulary(writer, ours.vocabulary)
    )
    assert Tokenizer.from_path(path).vocabulary.add_eos is True
    assert AutoTokenizer.from_pretrained(path).encode("def") == [*ours.encode("def"), 2]


@pytest.mark.parametrize(
    ("file_name", "stated", "name"),
    [
        ("tokenizer_config.json", {"add_bos_token": 1}, "add_bos_token"),
        ("tokenizer_config.json", {"add_eos_token": "no"}, "add_eos_token"),
        ("tokenizer_config.json", {"bos_token": 5}, "bos_token"),
        ("tokenizer_config.json", {"bos_token": "\ud800"}, "bos_token"),
        ("tokenizer_config.json", {"eos_token": {"text": "x"}}, "eos_token"),
        ("tokenizer_config.json", {"chat_template": 5}, "chat_template"),
        ("tokenizer_config.json", {"chat_template": ["x"]}, "chat_template"),
        ("tokenizer_config.json", {"chat_template": [{"name": "a", "template": 5}]},
         "chat_template"),
        ("special_tokens_map.json", {"unk_token": []}, "unk_token"),
    ],
)  # fmt: skip
def test_other_types_are_refused_by_name(
    folder: Path, file_name: str, stated: Any, name: str
) -> None:
    with pytest.raises(ConversionError, match=rf"{file_name}: {name}.*: expected"):
        Tokenizer.from_path(write(folder, file_name, stated))


def test_templates_with_names(folder: Path) -> None:
    templates = [{"name": "tools", "template": "T"}, {"name": "default", "template": "D"}]
    for stated, expected in (
        (templates, "D"), (templates[:1], "T"), ([], None), ({"default": "x"}, "x"), (None, None),
    ):  # fmt: skip
        write(folder, "tokenizer_config.json", {"chat_template": stated})
        assert Tokenizer.from_path(folder).chat_template == expected
