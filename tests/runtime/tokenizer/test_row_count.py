"""Tokenizers beside an embedding of another length, in files of each kind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import gguf
import pytest
from sentencepiece import SentencePieceProcessor

from halfbyte.conversion import convert
from halfbyte.errors import ConversionError
from halfbyte.tokenizer import Tokenizer
from halfbyte.tokenizer.files import read_vocabulary

CHAT = {"<|im_start|>": 500, "<|im_end|>": 501, "<|x|>": 502, "[PAD]": 503}


@pytest.fixture
def llama(trained: Path, tmp_path: Path) -> Path:
    """A fine-tune's folder: 500 pieces and four added tokens."""
    (tmp_path / "tokenizer.model").write_bytes(trained.read_bytes())
    (tmp_path / "added_tokens.json").write_text(json.dumps(CHAT))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": "</s>"}))
    return tmp_path


def test_tokens_without_a_row_are_dropped_and_named(
    llama: Path, theirs_spm: SentencePieceProcessor, caplog: pytest.LogCaptureFixture
) -> None:
    assert len(read_vocabulary(llama, 504).pieces) == 504 and not caplog.text
    tokenizer = Tokenizer(read_vocabulary(llama, 500))
    for text, i in CHAT.items():
        assert f"{text!r} ({i})" in caplog.text
        assert tokenizer.encode(text, add_bos=False, parse_markers=True) == theirs_spm.encode(text)
        assert tokenizer.encode_rendered(text) == theirs_spm.encode(text)
    assert (tokenizer.n_vocab, tokenizer.eos_id) == (500, 2)
    partly = Tokenizer(read_vocabulary(llama, 501))
    assert partly.encode_rendered("<|im_start|>") == [500]
    more = read_vocabulary(llama, 510)
    assert more.pieces[504:] == [f"[PAD{i}]".encode() for i in range(504, 510)]
    assert set(more.types[504:]) == {5}


def test_special_tokens_among_the_dropped(llama: Path, caplog: pytest.LogCaptureFixture) -> None:
    stated = {"eos_token": "<|im_end|>", "pad_token": "[PAD]",
              "chat_template": "{{ '<|im_start|>' }}"}  # fmt: skip
    (llama / "tokenizer_config.json").write_text(json.dumps(stated))
    found = read_vocabulary(llama, 500)
    # </s> is left to end an answer.
    assert found.special["eos"] == 2 and "pad" not in found.special
    assert "eos_token '<|im_end|>' has no row: 2 is used" in caplog.text
    assert "pad_token '[PAD]' has no row: none is used" in caplog.text
    assert "a chat template writes '<|im_start|>'" in caplog.text
    assert read_vocabulary(llama).special["eos"] == 501


@pytest.fixture
def words(vocabularies: Any, tmp_path: Path) -> tuple[Path, Any]:
    """A byte-level folder, its added tokens after its pieces."""
    made = vocabularies.train_byte_level("qwen2", ("<|a|>", "<|b|>"))
    made.tokenizer(parses=True).save(str(tmp_path / "tokenizer.json"))
    return tmp_path, made


def test_byte_level_tokens_without_a_row(
    words: tuple[Path, Any], caplog: pytest.LogCaptureFixture
) -> None:
    folder, made = words
    n, plain = len(made.vocab), made.tokenizer(parses=False)
    one = Tokenizer(read_vocabulary(folder, n + 1))
    assert one.encode("<|a|>", parse_markers=True) == [n]
    assert one.encode("<|b|>", parse_markers=True) == plain.encode("<|b|>").ids
    assert f"'<|b|>' ({n + 1})" in caplog.text and "<|a|>" not in caplog.text
    # Pieces of the model itself: what would merge into them stays in parts.
    few = Tokenizer(read_vocabulary(folder, n - 20))
    text = " ".join(vocab.replace("Ġ", " ") for vocab in made.vocab[-20:])
    assert plain.decode(few.encode(text)) == text
    assert max(few.encode(text)) < n - 20 <= max(plain.encode(text).ids)


def test_a_model_that_could_never_end(words: tuple[Path, Any]) -> None:
    folder, made = words
    for role, setting in (("eos", {}), ("bos", {"add_bos_token": True})):
        stated = {f"{role}_token": "<|b|>"} | setting
        (folder / "tokenizer_config.json").write_text(json.dumps(stated))
        with pytest.raises(ConversionError, match=rf"{role}_token.*<\|b\|>.*resize"):
            read_vocabulary(folder, len(made.vocab) + 1)


def test_a_folder_whose_tokenizer_is_longer_converts(
    tiny_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "hf"))
    (folder / "added_tokens.json").write_text(json.dumps({"<|im_start|>": 300, "<pad>": 301}))
    convert(folder, tmp_path / "out.gguf", type="f16", measure=False)
    assert "'<|im_start|>' (300), '<pad>' (301)" in caplog.text
    fields = gguf.GGUFReader(tmp_path / "out.gguf").fields
    assert len(fields["tokenizer.ggml.tokens"].contents()) == 300
