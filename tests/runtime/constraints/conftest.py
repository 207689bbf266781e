"""Vocabularies that grammars are compiled for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from halfbyte.constraints.constraint import Constraint
from halfbyte.constraints.grammar import Grammar, Grammars
from halfbyte.models import catalogue
from halfbyte.tokenizer import Tokenizer


@pytest.fixture(scope="session")
def spm() -> Tokenizer:
    """The packaged model's, with a token for each byte."""
    return Tokenizer.from_path(catalogue.resolve("infill-10m"))


@pytest.fixture(scope="session", params=["spm", "bpe"])
def grammars(
    request: pytest.FixtureRequest, spm: Tokenizer, vocabularies: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Grammars:  # fmt: skip
    """Compilers for a vocabulary of each kind."""
    if request.param == "spm":
        return Grammars(spm)
    made = vocabularies.train_byte_level("smollm", ("<|endoftext|>", "<|im_end|>"), 600)
    path: Path = made.write(tmp_path_factory.mktemp("bpe") / "m.gguf")
    return Grammars(Tokenizer.from_path(path))


@pytest.fixture
def compiled(grammars: Grammars) -> Any:
    """Compiles a constraint: compiled(regex="a+")."""

    def make(**keywords: Any) -> Grammar:
        constraint, rest = Constraint.split(keywords)
        assert constraint is not None
        return grammars.compiled(constraint, **rest)

    return make
