"""Two small vocabularies and the tokenizers that made them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sentencepiece import SentencePieceProcessor
from tokenizers import Tokenizer as HFTokenizer

from halfbyte.tokenizer import Tokenizer, known_parts, long_texts


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, vocabularies: Any) -> Path:
    """A sentencepiece model of 500 pieces with Llama's settings."""
    return vocabularies.train_sentencepiece(tmp_path_factory.mktemp("spm"))


@pytest.fixture(scope="session")
def theirs_spm(trained: Path) -> SentencePieceProcessor:
    """Sentencepiece with that model."""
    return SentencePieceProcessor(model_file=str(trained))


@pytest.fixture(scope="session")
def small_spm(trained: Path, vocabularies: Any) -> Tokenizer:
    """halfbyte with that model."""
    model = vocabularies.read_model(trained)
    path = vocabularies.write_sentencepiece(trained.with_name("m.gguf"), model)
    return Tokenizer.from_path(path)


@pytest.fixture(scope="session")
def small_bpe(
    tmp_path_factory: pytest.TempPathFactory, vocabularies: Any
) -> tuple[Tokenizer, HFTokenizer]:
    """A byte-level BPE vocabulary cut as SmolLM's, and the tokenizer that trained it."""
    made = vocabularies.train_byte_level("smollm", ("<|endoftext|>", "<|im_end|>"), 600)

    def ends(writer: Any) -> None:
        for add in (writer.add_bos_token_id, writer.add_eos_token_id):
            add(made.id_of("<|im_end|>"))

    path = made.write(tmp_path_factory.mktemp("bpe") / "m.gguf", fill=ends)
    return Tokenizer.from_path(path), made.tokenizer(parses=False)


@pytest.fixture(scope="module", autouse=True)
def tiny_parts() -> Iterator[None]:
    """Texts are encoded in parts of two characters and more, whose ids are known from then on.

    So every comparison of ids here is one of that, too.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(long_texts, "KNOWN_PART", 2)
        patch.setattr(known_parts, "_LEAST", 0)
        yield
