"""CodeLlamaTokenizer against recorded answers of transformers' slow tokenizer and of Meta's code.

The vectors lie outside the repository (see `shared_dir`); VERSIONS.json there says what made them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from halfbyte.hf.auto_tokenizer import AutoTokenizer
from halfbyte.hf.tokenizer import CodeLlamaTokenizer
from halfbyte.tokenizer import Tokenizer

SWITCHES = ("add_bos_token", "add_eos_token")


def vectors(folder: Path, name: str, *kinds: str) -> Iterator[dict[str, Any]]:
    """The cases of a file; all of them, or those of some kinds."""
    for line in (folder / "data" / "golden" / name).read_text("utf-8").splitlines():
        if line.strip():
            case = json.loads(line)
            if not kinds or case["kind"] in kinds:
                yield case


@pytest.fixture(scope="module")
def model_file(shared_dir: Path) -> Path:
    return shared_dir / "data" / "codellama-tokenizer.model"


@pytest.fixture(scope="module", params=["file", "bare folder", "published folder", "json", "auto"])
def tokenizer(
    request: pytest.FixtureRequest,
    model_file: Path,
    shared_dir: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> CodeLlamaTokenizer:
    """Code Llama's vocabulary, from each place that it can be loaded from."""
    if request.param == "file":
        return CodeLlamaTokenizer(model_file)
    folder = tmp_path_factory.mktemp("codellama")
    shutil.copy(model_file, folder / "tokenizer.model")
    if request.param == "bare folder":
        return CodeLlamaTokenizer.from_pretrained(folder)
    for path in (shared_dir / "data" / "hf-codellama").iterdir():
        shutil.copy(path, folder)
    if request.param == "json":
        (folder / "tokenizer.model").unlink()
    if request.param in ("published folder", "json"):
        return CodeLlamaTokenizer.from_pretrained(folder)
    chosen = AutoTokenizer.from_pretrained(folder)
    assert isinstance(chosen, CodeLlamaTokenizer)
    return chosen


def switched(tokenizer: CodeLlamaTokenizer, options: dict[str, Any]) -> dict[str, Any]:
    """Set BOS and EOS as a case wants them; what is left are a call's options."""
    tokenizer.add_bos_token = options.get("add_bos_token", True)
    tokenizer.add_eos_token = options.get("add_eos_token", False)
    return {name: value for name, value in options.items() if name not in SWITCHES}


def encode(tokenizer: CodeLlamaTokenizer, case: dict[str, Any]) -> list[int]:
    options = switched(tokenizer, case["options"])
    given = case["input"]
    if isinstance(given, str):
        return list(tokenizer.encode(given, **options))
    if "prompt" in given:
        return list(tokenizer.encode(given["prompt"], **options))
    return list(tokenizer.encode(given["prefix"], suffix=given["suffix"], **options))


def test_ids_and_texts_of_the_slow_tokenizer(
    tokenizer: CodeLlamaTokenizer, shared_dir: Path
) -> None:
    counts = {"encode": 0, "infill": 0}
    for case in vectors(shared_dir, "golden_public.jsonl", *counts):
        counts[case["kind"]] += 1
        if isinstance(case["ids"], dict):  # an error there
            with pytest.raises(ValueError, match="FILL_ME"):
                encode(tokenizer, case)
            continue
        ids = encode(tokenizer, case)
        assert ids == case["ids"], case["id"]
        assert tokenizer.decode(ids) == case["decoded"], case["id"]
        assert tokenizer.decode(ids, skip_special_tokens=True) == case["decoded_skip"], case["id"]
    assert counts == {"encode": 112, "infill": 150}


def test_decoding(tokenizer: CodeLlamaTokenizer, shared_dir: Path) -> None:
    cases = list(vectors(shared_dir, "golden_public.jsonl", "decode"))
    for case in cases:
        assert tokenizer.decode(case["input"], **case["options"]) == case["decoded"], case["id"]
    assert len(cases) == 28


def test_methods(tokenizer: CodeLlamaTokenizer, shared_dir: Path) -> None:
    cases = list(vectors(shared_dir, "golden_public.jsonl", "api"))
    for case in cases:
        options = switched(tokenizer, case["options"])
        method = getattr(tokenizer, case["input"]["method"])
        assert method(*case["input"]["args"], **options) == case["result"], case["id"]
    assert len(cases) == 10


def test_cases_of_transformers_own_tests(tokenizer: CodeLlamaTokenizer, shared_dir: Path) -> None:
    cases = list(vectors(shared_dir, "conformance_hf_tests.jsonl"))
    for case in cases:
        if case["kind"] in ("encode", "infill"):
            got: object = encode(tokenizer, case)
        else:
            options = switched(tokenizer, case["options"])
            got = getattr(tokenizer, case["kind"])(case["input"], **options)
        assert got == case["expected"], case["test"]
    assert len(cases) == 33


def test_cases_of_llama_cpp(model_file: Path, shared_dir: Path) -> None:
    core = Tokenizer.from_path(model_file)
    cases = list(vectors(shared_dir, "conformance_llamacpp_spm.jsonl"))
    for case in cases:
        assert core.encode(case["input"], add_bos=False) == case["expected"], case["input"]
    assert len(cases) == 47


def test_rendered_conversations(tokenizer: CodeLlamaTokenizer, shared_dir: Path) -> None:
    cases = [c for c in vectors(shared_dir, "golden_chat.jsonl") if c["ids"] is not None]
    for case in cases:
        switched(tokenizer, {})
        ids = tokenizer.encode(case["hf_text"], add_special_tokens=False)
        assert ids == case["ids"], case["id"]
    assert len(cases) == 22


def test_chat_template(tokenizer: CodeLlamaTokenizer, shared_dir: Path) -> None:
    templates = json.loads((shared_dir / "data/golden/chat_templates.json").read_text("utf-8"))
    for case in vectors(shared_dir, "golden_chat.jsonl", "chat_inst"):
        if case["ids"] is not None:
            asked = {"chat_template": templates["codellama_instruct_7b_13b_34b"]}
            text = tokenizer.apply_chat_template(case["input"], tokenize=False, **asked)
            assert text == case["hf_text"], case["id"]
            assert tokenizer.apply_chat_template(case["input"], **asked) == case["ids"], case["id"]


def test_metas_prompts_with_the_switch(model_file: Path, shared_dir: Path) -> None:
    """Where an empty suffix infills, all prompts are those of Meta's own code."""
    tokenizer = CodeLlamaTokenizer(model_file, empty_suffix_infills=True)
    n_different = 0
    cases = [
        case
        for case in vectors(shared_dir, "golden_public.jsonl", "infill")
        if isinstance(case.get("ids_meta"), list) and case["options"]["add_special_tokens"]
    ]
    for case in cases:
        assert encode(tokenizer, case) == case["ids_meta"], case["id"]
        n_different += case["ids"] != case["ids_meta"]
    assert len(cases) > 100 and n_different > 5


def test_vocabulary_without_infilling(shared_dir: Path) -> None:
    tokenizer = CodeLlamaTokenizer(shared_dir / "data" / "llama2-tokenizer.model")
    assert len(tokenizer) == tokenizer.vocab_size == 32000
    assert tokenizer.prefix_id is tokenizer.suffix_id is tokenizer.middle_id is None
    assert tokenizer.eot_id is None and tokenizer.eot_token is None
    assert tokenizer.encode("This is a test") == [1, 910, 338, 263, 1243]
    for call in (lambda: tokenizer("a<FILL_ME>b"), lambda: tokenizer("a", suffix="b")):
        with pytest.raises(ValueError, match="infill"):
            call()
