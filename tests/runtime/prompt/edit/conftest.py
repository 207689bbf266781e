"""Vocabularies with the tokens of the formats, and the tokenizers they come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gguf
import pytest

from halfbyte.tokenizer import Tokenizer

QWEN = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|fim_prefix|>", "<|fim_middle|>"),
    *("<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>"),
)
SEED_CODER = (
    *("<[end▁of▁sentence]>", "<[begin▁of▁sentence]>", "<[fim-suffix]>", "<[fim-prefix]>"),
    *("<[fim-middle]>", "<filename>"),
)
SPECIALS = {"sweep": QWEN, "zeta-2": SEED_CODER, "zeta-2.1": SEED_CODER}


@dataclass(frozen=True)
class Vocabulary:
    """A vocabulary as halfbyte reads it, and the package's tokenizers for it."""

    specials: tuple[str, ...]
    tokenizer: Tokenizer
    parsed: Any  # finds special tokens in text
    plain: Any  # does not

    def documented(self, text: str) -> list[int]:
        """Ids of a text whose special tokens are meant."""
        return self.parsed.encode(text, add_special_tokens=False).ids

    def special_ids(self, ids: list[int]) -> list[int]:
        """Those of the ids that are special tokens."""
        special = {self.tokenizer.id_of(text) for text in self.specials}
        return [i for i in ids if i in special]


@pytest.fixture(scope="session")
def vocabulary_of(vocabularies: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Makes the vocabulary of a format, by the format's name."""
    known: dict[tuple[str, ...], Vocabulary] = {}

    def vocabulary_of(name: str) -> Vocabulary:
        specials = SPECIALS[name]
        if specials not in known:
            made = vocabularies.train_byte_level("qwen2", specials)

            def fill(writer: gguf.GGUFWriter) -> None:
                writer.add_eos_token_id(made.id_of(specials[0]))

            path = made.write(tmp_path_factory.mktemp("edit") / "m.gguf", fill=fill)
            known[specials] = Vocabulary(
                specials, Tokenizer.from_path(path),
                made.tokenizer(parses=True), made.tokenizer(parses=False),
            )  # fmt: skip
        return known[specials]

    return vocabulary_of
