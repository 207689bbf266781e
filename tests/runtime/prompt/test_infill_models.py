"""Which models are offered to infill: their published names, as files and converters give them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import gguf
import pytest

from halfbyte.errors import UnsupportedModelError
from halfbyte.families.model_card import ModelCard
from halfbyte.gguf.file import GGUFFile
from halfbyte.prompt.encoder import PromptEncoder
from halfbyte.prompt.infill import InfillFormat, InfillPrompt
from halfbyte.prompt.infill_models import KNOWN, ROWS, check_trained, find_row, plain_name
from halfbyte.tokenizer import Tokenizer

# By what their makers publish: Meta's table of variants, the cards and READMEs of the others.
TRAINED = (
    "infill-10m", "CodeLlama-7b-hf", "CodeLlama-13b-Instruct-hf", "codellama_codellama-7b-hf",
    "Code Llama 7B", "Code_Llama 13B Instruct", "CodeLlama 6.7B", "codellama-7b.q4_k_m",
    "Qwen2.5-Coder-0.5B", "Qwen2.5 Coder 7B Instruct", "qwen2.5-coder-1.5b-instruct-q8_0",
    "https://huggingface.co/Qwen/Qwen2.5-Coder-32B", "Qwen2.5 Coder 14B Instruct Abliterated",
    "deepseek-ai/deepseek-coder-6.7b-base", "Deepseek Coder 1.3B Base", "Magicoder-S-DS-6.7B",
    "granite-8b-code-base-4k", "Granite 3B Code Instruct", "Codestral-22B-v0.1", "CodeQwen1.5-7B",
    "Seed-Coder-8B-Base", "ByteDance-Seed/Seed-Coder-8B-Base", "Mellum-4b-base",
    "mellum-4b-sft-python", "Mellum2-12B-A2.5B-Base",
    "codegemma-2b", "google/codegemma-1.1-2b", "Codegemma 7b", "Yi-Coder-9B", "OpenCoder-8B-Base",
    "granite-4.0-h-tiny", "Granite 4.0 H Small", "granite-4.1-8b",
    "GLM-4.5-Air", "GLM-4.7-Flash", "GLM 5", "DeepSeek-Coder-V2-Lite-Base",
)  # fmt: skip
UNTRAINED = (
    "CodeLlama-7b-Python-hf", "codellama_codellama-13b-python-hf", "CodeLlama-34b-hf",
    "CodeLlama 70B Instruct", "Phind-CodeLlama-34B-v2", "Qwen3-8B", "Qwen3 0.6B Base",
    "Qwen2.5 7B Instruct", "QwQ 32B", "Qwen2-Math-7B", "DeepSeek-R1-Distill-Qwen-7B",
    "DeepSeek R1 Distill Llama 8B", "deepseek-coder-7b-base-v1.5",
    "deepseek-coder-6.7b-instruct", "DeepSeek-Coder-V2-Base", "DeepSeek-Coder-V2-Lite-Instruct",
    "Mistral-7B-Instruct-v0.3", "Mistral Nemo Instruct 2407",
    "Devstral Small 2505", "sweep-next-edit-1.5B", "zeta", "zed-industries/zeta-2",
    "Mellum2-12B-A2.5B-Instruct", "Mellum2.1-12B-A2.5B-Thinking", "CodeQwen1.5-7B-Chat",
    "Seed-Coder-8B-Instruct",
    "Seed-Coder-8B-Reasoning-bf16", "codegemma-7b-it", "codegemma-1.1-7b-it-GGUF",
    "Yi-Coder-9B-Chat",
    "OpenCoder-1.5B-Instruct",
)  # fmt: skip
UNKNOWN = (
    "",
    "hf",
    "my-model",
    "CodeLlama",
    "Llama 3.2 1B",
    "CodeLlama-27b",
    "WizardCoder 1.7B",
    "glm-4-9b-chat",
    "gemma-3-4b-it",
)


def test_names() -> None:
    def answer(name: str) -> bool | None:
        _, row = find_row([name])
        return None if row is None else row.is_trained

    assert {name for name in TRAINED if answer(name) is not True} == set()
    assert {name for name in UNTRAINED if answer(name) is not False} == set()
    assert {name for name in UNKNOWN if answer(name) is not None} == set()


def test_each_row_decides_some_name_and_says_why() -> None:
    used = {find_row([name])[1] for name in (*TRAINED, *UNTRAINED, "starcoder2-3b")}
    used |= {find_row(["Qwen3-Coder-30B-A3B"])[1]}
    assert set(ROWS) <= used
    assert all(row.source for row in ROWS)


def test_errors_name_all_that_were() -> None:
    names = [plain_name(name) for name in re.split(", | and (?!13B|later)", KNOWN)]
    trained = [row.names for row in ROWS if row.is_trained]
    assert [row for row in trained if not any(re.search(row, name) for name in names)] == []


def test_a_models_own_name_goes_first() -> None:
    base = "Qwen2.5-Coder-7B"
    check_trained("m.gguf", ["my tune", base], None)
    with pytest.raises(UnsupportedModelError, match="'sweep-next-edit-7B', which was not"):
        check_trained("m.gguf", ["sweep-next-edit-7B", base], None)
    with pytest.raises(UnsupportedModelError, match="'Qwen3 8B', which was not"):
        check_trained("m.gguf", ["mine", "Qwen3 8B", base], None)


def test_a_template_that_has_the_model_think_decides() -> None:
    check_trained("m.gguf", ["Qwen2.5-Coder-7B"], "{{ messages }}<|im_start|>")
    with pytest.raises(UnsupportedModelError, match="think first"):
        check_trained("m.gguf", ["my tune", "Qwen2.5-Coder-7B"], "{{ messages }}<think>\n")
    check_trained("m.gguf", ["GLM-4.5-Air"], "{{ messages }}<think>\n")  # both were trained


@pytest.mark.parametrize(
    ("names", "got"),
    [
        ((), "a model without a name, of which that is not known"),
        (("mine", "m"), "'mine', of which that is not known"),
        (("CodeLlama-34b-hf",), "'CodeLlama-34b-hf', which was not"),
    ],
)
def test_the_refusal_says_how_to_insist(names: tuple[str, ...], got: str) -> None:
    with pytest.raises(UnsupportedModelError) as caught:
        check_trained("m.gguf", names, None)
    error = caught.value
    assert (error.path, error.field, error.got) == ("m.gguf", "infilling", got)
    assert "force=True" in error.hint and "--force" in error.hint
    assert "Code Llama 7B and 13B" in error.hint


def asked(encoder: PromptEncoder, **how: Any) -> InfillPrompt:
    return encoder.infilling(
        "def f", "\n", order="auto", heal=True, repository=None, parse_markers=False, **how
    )


def test_insisting_gives_the_same_prompt(code_llama: InfillFormat, vocabularies: Any) -> None:
    tokenizer = Tokenizer.from_path(vocabularies.PACKAGED)
    known = asked(PromptEncoder(tokenizer, 512, ["infill-10m"]))
    unknown = PromptEncoder(tokenizer, 512, ["Mistral-7B-v0.3"])
    with pytest.raises(UnsupportedModelError, match="trained to infill"):
        asked(unknown)
    assert asked(unknown, force=True).tokens == known.tokens


def test_a_vocabulary_without_the_tokens_cannot_be_forced(tiny_gguf: Path) -> None:
    with pytest.raises(UnsupportedModelError, match="infilling tokens in the vocabulary"):
        asked(PromptEncoder(Tokenizer.from_path(tiny_gguf), 64, ["infill-10m"]), force=True)


def test_what_a_file_says_is_heard(tmp_path: Path, vocabularies: Any) -> None:
    """A tune of Qwen2.5-Coder as llama.cpp's converter describes it, and one of Qwen3."""
    for base, is_trained in (("Qwen2.5 Coder 7B", True), ("Qwen3 8B", False)):

        def fill(writer: gguf.GGUFWriter, base: str = base) -> None:
            vocabularies.add_sentencepiece(writer, vocabularies.packaged_model())
            writer.add_name("Tune")
            writer.add_base_model_count(1)
            writer.add_base_model_name(0, base)

        path = vocabularies.write_gguf(tmp_path / "m.gguf", fill)
        with GGUFFile.open(path, strict_types=False) as file:
            names = ModelCard.from_gguf(file).names
        _, row = find_row(names)
        assert row is not None and row.is_trained == is_trained
