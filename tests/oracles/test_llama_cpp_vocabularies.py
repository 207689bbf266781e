"""llama.cpp's vocabulary files, with the ids that it expects of them, read where they lie.

Some of the files are under licences of their own: none is kept here.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from halfbyte.errors import UnsupportedModelError
from halfbyte.gguf.file import GGUFFile
from halfbyte.tokenizer import Tokenizer

pytestmark = pytest.mark.oracle

SEPARATOR = "\n__ggml_vocab_test__\n"
KINDS = ("llama", "gpt2", "gemma4")


def kind(path: Path) -> str:
    with GGUFFile.open(path, strict_types=False) as file:
        return str(file.metadata.get_str("tokenizer.ggml.model"))


def test_all_expected_ids_of_all_files(llama_cpp_sources: Path) -> None:
    n_lines, n_files, faults = 0, 0, []
    for path in sorted((llama_cpp_sources / "models").glob("ggml-vocab-*.gguf")):
        if kind(path) not in KINDS:
            with pytest.raises(UnsupportedModelError, match=f"got {kind(path)}"):
                Tokenizer.from_path(path)
            continue
        tokenizer, n_files = Tokenizer.from_path(path), n_files + 1
        inputs, outputs = (path.with_name(f"{path.name}.{end}") for end in ("inp", "out"))
        if not inputs.exists():
            text = "def f(x):\n    return x"
            assert tokenizer.decode(tokenizer.encode(text, add_bos=False)) == text
            continue
        texts = inputs.read_bytes().decode().split(SEPARATOR)
        answers = outputs.read_text().split("\n")
        assert answers[len(texts) :] in ([], [""])
        for text, answer in zip(texts, answers, strict=False):
            n_lines += 1
            expected = [int(token) for token in answer.split()]
            if tokenizer.encode(text, add_bos=False) != expected:
                faults.append((path.name, text))
    print(f"{n_lines} lines of {n_files} files")
    assert not faults
    assert n_files >= 17 and n_lines >= 661
