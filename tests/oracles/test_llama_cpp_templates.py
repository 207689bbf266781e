"""Published chat templates, as llama.cpp keeps them: calls that they write are read again.

They are read where they lie: some are under licences of their own, none is kept here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from halfbyte.errors import UnsupportedModelError
from halfbyte.prompt.messages import check_messages
from halfbyte.prompt.template import ChatTemplate
from halfbyte.prompt.tools.formats import format_of
from halfbyte.prompt.tools.placed import place_of, placed
from halfbyte.prompt.tools.tools import Tools

pytestmark = pytest.mark.oracle

PARAMETERS = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer"},
        "by": {"type": "array", "items": {"type": "string"}},
        "is_warm": {"type": "boolean"},
    },
    "required": ["city"],
}
TOOL = {"type": "function", "function": {"name": "weather", "description": "How is it?",
                                         "parameters": PARAMETERS}}  # fmt: skip
ARGUMENTS = {"city": "Zürich <b>\n7", "days": 3, "by": ["bus", "a b"], "is_warm": True}
CALL = {"id": "abcdefghi", "type": "function",
        "function": {"name": "weather", "arguments": ARGUMENTS}}  # fmt: skip
TALK: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "How is it?"},
    {"role": "assistant", "content": "I look.", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "abcdefghi", "name": "weather", "content": "rain"},
    {"role": "user", "content": "Thanks."},
]
# Template's file -> the format that its model was trained with.
KNOWN = {
    "Qwen3-Coder": "qwen3-coder", "Qwen3.5-4B": "qwen3-coder", "StepFun3.5-Flash": "qwen3-coder",
    "NVIDIA-Nemotron-3-Nano-30B-A3B-BF16": "qwen3-coder", "ByteDance-Seed-OSS": "seed-oss",
    "GLM-4.6": "glm", "GLM-4.7-Flash": "glm", "poolside-Laguna-XS.2": "glm",
    "poolside-Laguna-XS-2.1": "glm", "poolside-Laguna-S-2.1": "glm",
    "ibm-granite-granite-3.3-2B-Instruct": "granite", "ibm-granite-granite-4.0": "hermes",
    "ibm-granite-granite-4.1": "hermes", "Qwen-Qwen3-0.6B": "hermes",
    "Qwen-Qwen2.5-7B-Instruct": "hermes", "Qwen-QwQ-32B": "hermes",
    "LFM2-8B-A1B": "lfm2", "LFM2.5-Instruct": "lfm2", "LFM2.5-8B-A1B": "lfm2",
}  # fmt: skip


@pytest.mark.parametrize("name", KNOWN)
def test_what_a_template_writes_is_read_again(name: str, llama_cpp_sources: Path) -> None:
    source = (llama_cpp_sources / "models" / "templates" / f"{name}.jinja").read_text("utf-8")
    template, tools = ChatTemplate(source), Tools.of([TOOL])
    form = format_of(source, name)
    assert form.name == KNOWN[name] and tools is not None
    made = placed(source, template.variables, check_messages(TALK), tools, name)
    assert made.calls is form
    text = template.render(
        made.messages, add_generation_prompt=True, bos_token="<s>", eos_token="</s>",
        **{"tools": None, **made.variables},
    )  # fmt: skip
    assert "How is it?" in text and "weather" in text and "Thanks." in text
    written = text[text.index("I look.") if "I look." in text else text.rindex("Be brief.") :]
    written = written.partition(form.begins[0])[2].partition(form.end or "<|end_of_text|>")[0]
    assert form.parse(written, tools.callable) == [("weather", ARGUMENTS)]


def test_every_template_renders_or_says_why(llama_cpp_sources: Path) -> None:
    """With tools where it takes them in a way that is known."""
    refused = []
    for path in sorted((llama_cpp_sources / "models" / "templates").glob("*.jinja")):
        source = path.read_text("utf-8")
        template = ChatTemplate(source, path=path.name)
        try:
            tools = Tools.of([TOOL]) if place_of(source, template.variables) else None
            made = placed(source, template.variables, check_messages(TALK), tools, path.name)
        except UnsupportedModelError as error:
            refused.append(f"{path.stem}: {error.got}")
            continue
        assert made.messages
    print("\n".join(refused))
    assert refused
