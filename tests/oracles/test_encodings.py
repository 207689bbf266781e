"""What encodings tell about texts, against transformers' tokenizers themselves."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from halfbyte import AutoTokenizer

pytestmark = pytest.mark.oracle

ROOT = Path(__file__).resolve().parents[2]
TEXTS = [
    "def fibonacci(n):\n    return n", "a", "", "é漢😀 𝕏y", "e\u0301 \u200d x", "x\n\n\n  y",
    "tab\tend",    "don't 12345", "a</s>b", "<s> a", "\nfoo", "😀x",
]  # fmt: skip
OFFSETS = {"return_offsets_mapping": True}
CUT = {**OFFSETS, "truncation": True, "return_overflowing_tokens": True}
CHAT = [{"role": "user", "content": "a é"}, {"role": "assistant", "content": "b"}]
TEMPLATE = {"chat_template": "{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}"}
CALLS: list[list[Any]] = [
    ["__call__", [TEXTS], OFFSETS],
    ["__call__", [TEXTS, TEXTS[::-1]], OFFSETS],
    ["__call__", [TEXTS], {**OFFSETS, "add_special_tokens": False}],
    ["__call__", [TEXTS], {**OFFSETS, "padding": True, "padding_side": "left"}],
    ["__call__", [TEXTS], {**CUT, "max_length": 6, "stride": 2}],
    [
        "__call__",
        [TEXTS],
        {
            **CUT,
            "max_length": 5,
            "stride": 0,
            "padding": True,
            "padding_side": "right",
            "return_special_tokens_mask": True,
        },
    ],
    [
        "__call__",
        [TEXTS[:1], TEXTS[3:4]],
        {**CUT, "truncation": "only_first", "max_length": 24, "stride": 1},
    ],
    [
        "__call__",
        [["a b"], ["def f(x): return 1"]],
        {**CUT, "truncation": "only_second", "max_length": 9},
    ],
    ["__call__", [[["def", "f(x)"], ["é"]]], {**OFFSETS, "is_split_into_words": True}],
    ["apply_chat_template", [CHAT], {**TEMPLATE, "return_dict": True}],
    ["apply_chat_template", [[CHAT, CHAT[:1]]], {**TEMPLATE, "return_dict": True, "padding": True}],
]


@pytest.fixture(scope="module", params=["code_llama", "byte_level"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published tokenizer of Code Llama, or the byte-level one of SmolLM2."""
    path = tmp_path_factory.mktemp(request.param)
    if request.param == "code_llama":
        data = request.getfixturevalue("shared_dir") / "data"
        for file in (data / "hf-codellama").iterdir():
            shutil.copy(file, path)
        shutil.copy(data / "codellama-tokenizer.model", path / "tokenizer.model")
        return path
    AutoTokenizer.from_pretrained("smollm2-135m").save_pretrained(path)
    return path


def test_encodings_are_those_of_transformers(
    torch_python: Path,
    folder: Path,
    tmp_path: Path,
) -> None:
    calls, out = tmp_path / "calls.json", tmp_path / "out.json"
    calls.write_text(json.dumps(CALLS), "utf-8")
    script = ROOT / "benchmarks" / "encodings_peer.py"
    subprocess.run([torch_python, script, folder, calls, out], check=True)
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    tokenizer.pad_token = tokenizer.eos_token
    for (method, arguments, options), answer in zip(
        CALLS, json.loads(out.read_text()), strict=True
    ):
        ours = getattr(tokenizer, method)(*arguments, **options)
        assert tokenizer.decode(ours.input_ids, skip_special_tokens=True) == answer["text"]
        for name, value in answer["items"].items():
            assert json.loads(json.dumps(ours[name])) == value, (options, name)
        assert len(ours.alignments or ()) == len(answer["rows"])
        for i, row in enumerate(answer["rows"]):
            assert told(ours, i, row) == row, options


def told(encoding: Any, i: int, row: dict[str, Any]) -> dict[str, Any]:
    """The same of a row of ours as encodings_peer.py has of transformers'."""
    spans = [encoding.token_to_chars(i, t) for t in range(len(row["tokens"]))]
    chars = range(len(row["char_to_token"]))
    return {
        "tokens": encoding.tokens(i),
        "word_ids": encoding.word_ids(i),
        "sequence_ids": encoding.sequence_ids(i),
        "chars": [None if span is None else [*span] for span in spans],
        "char_to_token": [encoding.char_to_token(i, c) for c in chars],
        "char_to_word": [encoding.char_to_word(i, c) for c in chars],
    }
