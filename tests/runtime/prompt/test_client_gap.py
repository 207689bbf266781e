"""Gaps in prompts as Zed writes them."""

from __future__ import annotations

import pytest

from halfbyte.prompt.client_gap import MARKS, gap_in
from halfbyte.prompt.infill_layouts import FAMILIES

FAMILY = {one.name: one for one in FAMILIES}
LAID_OUT = {
    "Code Llama": "<PRE> {0} <SUF>{1} <MID>",
    "Qwen2.5-Coder": "<|fim_prefix|>{0}<|fim_suffix|>{1}<|fim_middle|>",
    "DeepSeek-Coder": "<｜fim▁begin｜>{0}<｜fim▁hole｜>{1}<｜fim▁end｜>",
    "CodeGemma": "<|fim_prefix|>{0}<|fim_suffix|>{1}<|fim_middle|>",
    "StarCoder": "<fim_prefix>{0}<fim_suffix>{1}<fim_middle>",
    "StarCoder2": "<fim_prefix>{0}<fim_suffix>{1}<fim_middle>",
    "Mellum": "<fim_suffix>{1}<fim_prefix>{0}<fim_middle>",
    "Seed-Coder": "<[fim-suffix]>{1}<[fim-prefix]>{0}<[fim-middle]>",
    "Granite 4": "<|fim_prefix|>{0}<|fim_suffix|>{1}<|fim_middle|>",
    "GLM": "<|code_prefix|>{0}<|code_suffix|>{1}<|code_middle|>",
    "Granite-code": "<fim_prefix>{0}<fim_suffix>{1}<fim_middle>",
    "Codestral": "[SUFFIX]{1}[PREFIX]{0}",
}
GAPS = [("def f(", ")\n"), ("", ""), (" a ", " b "), ("x\n", ""), ("", "\n\ny")]


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("gap", GAPS)
def test_both_sides_are_found(name: str, gap: tuple[str, str]) -> None:
    assert gap_in(FAMILY[name], LAID_OUT[name].format(*gap)) == gap


@pytest.mark.parametrize("name", FAMILY)
def test_other_texts_have_none(name: str) -> None:
    whole = LAID_OUT[name].format("a", "b")
    for text in (
        "", "def f(", f" {whole}", f"{whole}{whole}", whole[:-1] if name != "Codestral" else "b",
        LAID_OUT[name].format(whole, "b"), LAID_OUT[name].format("a", whole),
    ):  # fmt: skip
        assert gap_in(FAMILY[name], text) is None


def test_marks_are_what_clients_stop_at() -> None:
    assert {"<PRE>", "<|fim_prefix|>", "<|fim_pad|>", "[PREFIX]", "<fim_prefix>"} < MARKS
    assert "<|endoftext|>" not in MARKS and "" not in MARKS
