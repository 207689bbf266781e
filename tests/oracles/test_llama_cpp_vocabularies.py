"""Vocabularies against llama.cpp: the ids that its own files expect, and what names stand for.

Its files are read where they lie: some are under licences of their own, none is kept here.
"""

from __future__ import annotations

import json
import random
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from halfbyte.errors import UnsupportedModelError
from halfbyte.gguf.file import GGUFFile
from halfbyte.tokenizer import Tokenizer
from halfbyte.tokenizer.pretokenizers import PRE_TOKENIZERS

pytestmark = pytest.mark.oracle

SEPARATOR = "\n__ggml_vocab_test__\n"
KINDS = ("llama", "gpt2", "gemma4")
# Reads paths and texts, prints whether each file's prompts begin with BOS, and the texts' ids.
PEER = """
import ctypes, json, sys, llama_cpp as L
quiet = L.llama_log_callback(lambda *_: None)
L.llama_log_set(quiet, ctypes.c_void_p(0))
L.llama_backend_init()
paths, texts = json.load(sys.stdin)
params = L.llama_model_default_params()
params.vocab_only = True
for path in paths:
    vocab = L.llama_model_get_vocab(L.llama_model_load_from_file(path.encode(), params))
    found = []
    for text in (text.encode() for text in texts):
        ids = (L.llama_token * (len(text) + 8))()
        n = L.llama_tokenize(vocab, text, len(text), ids, len(ids), False, False)
        found.append(ids[:n])
    print(json.dumps([bool(L.llama_vocab_get_add_bos(vocab)), found]))
"""
# What all expressions cut alike, llama.cpp's stand-ins too; "zqzq" is a piece that no merge makes.
WORDS = (
    "don't", "i'll", "we've", " ", "  ", "\n", "\n\n", "\r\n", "\t", "1234", "89", "foo",
    "server", "zqzq", "日本", "한국", "привет", "!", "?!", "...", "==", "->", "_", "$", "`",
    '"', "(", "//", "\\", "😀", "€",
)  # fmt: skip
OTHER_DIGITS = ("afmoe", "tiny_aya", "cohere2moe")  # code there, see make_cuts_golden.py


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


def test_all_names_stand_for_what_they_do_there(
    peer_python: Path, vocabularies: Any, tmp_path: Path
) -> None:
    """Files that say nothing but the name, whose vocabulary has pieces that span words."""
    made = vocabularies.train_byte_level("gpt-2", ("<|begin|>",), 900)
    rng = random.Random(5)
    texts = ["".join(rng.choices(WORDS, k=rng.randint(1, 25))) for _ in range(200)]
    begin, paths = made.id_of("<|begin|>"), {}
    for name in PRE_TOKENIZERS:
        named = replace(made, pre=name)
        paths[name] = named.write(
            tmp_path / f"{name}.gguf", pieces=["zqzq"], fill=lambda w: w.add_bos_token_id(begin)
        )
    asked = json.dumps([[str(path) for path in paths.values()], texts])
    done = subprocess.run(
        [peer_python, "-c", PEER], input=asked, check=True, text=True, stdout=subprocess.PIPE
    )
    for (name, path), line in zip(paths.items(), done.stdout.splitlines(), strict=True):
        tokenizer, (begins, answers) = Tokenizer.from_path(path), json.loads(line)
        assert tokenizer.add_bos is begins, name
        for text, answer in zip(texts, answers, strict=True):
            if name not in OTHER_DIGITS or not set("18") & set(text):
                assert tokenizer.encode(text, add_bos=False) == answer, (name, text)
