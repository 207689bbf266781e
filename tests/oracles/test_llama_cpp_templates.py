"""Published chat templates, as llama.cpp keeps them: rendered as Jinja does it, their calls read.

They are read where they lie: some are under licences of their own, none is kept here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from halfbyte.errors import HalfbyteError, UnsupportedModelError
from halfbyte.prompt import harmony_messages
from halfbyte.prompt.messages import check_messages
from halfbyte.prompt.template import ChatTemplate
from halfbyte.prompt.thinking import marks_of
from halfbyte.prompt.tools.formats import format_of
from halfbyte.prompt.tools.placed import place_of, placed
from halfbyte.prompt.tools.tools import Tools
from halfbyte.tokenizer import Tokenizer
from tests.runtime.generation.played_chat import Chat, calls

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
EMPTY = {"type": "object", "properties": {}}
OTHER = {"type": "function", "function": {"name": "now", "description": "Which day is it?",
                                          "parameters": EMPTY}}  # fmt: skip
ARGUMENTS = {"city": "Zürich <b>\n7", "days": 3, "by": ["bus", "a b"], "is_warm": True}
CALL = {"id": "abcdefghi", "type": "function",
        "function": {"name": "weather", "arguments": ARGUMENTS}}  # fmt: skip
USER: list[dict[str, Any]] = [{"role": "user", "content": "How is it?"}]
CALLED: dict[str, Any] = {"role": "assistant", "content": "", "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "abcdefghi", "name": "weather", "content": "rain"}
THANKS = {"role": "user", "content": "Thanks."}
SYSTEM = {"role": "system", "content": "Be brief."}
TALKS: list[list[dict[str, Any]]] = [
    USER,
    [SYSTEM, *USER, {"role": "assistant", "content": " Fine. "}, THANKS],
    [*USER, CALLED, RESULT],
    [SYSTEM, *USER, {**CALLED, "content": "I look."}, RESULT, THANKS],
    [*USER, {**CALLED, "tool_calls": [CALL, {**CALL, "id": "bcdefghij"}]}, RESULT,
     {**RESULT, "tool_call_id": "bcdefghij"}],
]  # fmt: skip
# Template's file -> the format that its model was trained with, and what ends its answers.
KNOWN = {
    "Qwen3-Coder": ("qwen3-coder", "<|im_end|>"), "Qwen3.5-4B": ("qwen3-coder", "<|im_end|>"),
    "NVIDIA-Nemotron-3-Nano-30B-A3B-BF16": ("qwen3-coder", "<|im_end|>"),
    "ByteDance-Seed-OSS": ("seed-oss", "<seed:eos>"),
    "GLM-4.6": ("glm", "<|user|>"), "GLM-4.7-Flash": ("glm", "<|user|>"),
    "poolside-Laguna-XS.2": ("glm", "</assistant>"),
    "poolside-Laguna-XS-2.1": ("glm", "</assistant>"),
    "poolside-Laguna-S-2.1": ("glm", "</assistant>"),
    "ibm-granite-granite-3.3-2B-Instruct": ("granite", "<|end_of_text|>"),
    "ibm-granite-granite-4.0": ("hermes", "<|end_of_text|>"),
    "ibm-granite-granite-4.1": ("hermes", "<|end_of_text|>"),
    "Qwen-Qwen3-0.6B": ("hermes", "<|im_end|>"), "Qwen-QwQ-32B": ("hermes", "<|im_end|>"),
    "Qwen-Qwen2.5-7B-Instruct": ("hermes", "<|im_end|>"),
    "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use": ("hermes", "<|im_end|>"),
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use": ("hermes", "<|im_end|>"),
    "mistralai-Mistral-Nemo-Instruct-2407": ("mistral", "</s>"),
    "Mistral-Small-3.2-24B-Instruct-2506": ("mistral-args", "</s>"),
    "mistralai-Ministral-3-14B-Reasoning-2512": ("mistral-args", "</s>"),
    "unsloth-mistral-Devstral-Small-2507": ("mistral-args", "</s>"),
    "CohereForAI-c4ai-command-r7b-12-2024-tool_use": ("command-r7b", "<|END_OF_TURN_TOKEN|>"),
    "openai-gpt-oss-120b": ("harmony", "<|call|>"),
    "Apertus-8B-Instruct": ("apertus", "<|assistant_end|>"),
    "deepseek-ai-DeepSeek-V3.1": ("deepseek", "<｜end▁of▁sentence｜>"),
    "deepseek-ai-DeepSeek-R1-Distill-Llama-8B": ("deepseek-v3", "<｜end▁of▁sentence｜>"),
    "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B": ("deepseek-v3", "<｜end▁of▁sentence｜>"),
    "deepseek-ai-DeepSeek-V3.2": ("dsml", "<｜end▁of▁sentence｜>"),
    "meta-llama-Llama-3.1-8B-Instruct": ("llama-3", "<|eot_id|>"),
    "meta-llama-Llama-3.2-3B-Instruct": ("llama-3", "<|eot_id|>"),
    "meta-llama-Llama-3.3-70B-Instruct": ("llama-3", "<|eot_id|>"),
    "LFM2-8B-A1B": ("lfm2", "<|im_end|>"), "LFM2.5-Instruct": ("lfm2", "<|im_end|>"),
    "LFM2.5-8B-A1B": ("lfm2", "<|im_end|>"),
    "NVIDIA-Nemotron-Nano-v2": ("nemotron", "<SPECIAL_12>"),
    "StepFun3.5-Flash": ("qwen3-coder", "<|im_end|>"),
}  # fmt: skip
_SPECIAL = re.compile(
    r"<\|[^|<>\s]+\|>|<｜[^｜<>\s]+｜>|｜DSML｜|\[/?[A-Z_]{3,}\]|"
    r"</?(?:seed:)?(?:think|tool_call|arg_key|arg_value|assistant|s)>|<seed:eos>"
)


def _templates(sources: Path) -> Sequence[Path]:
    return sorted((sources / "models" / "templates").glob("*.jinja"))


def _refuse(text: str) -> None:
    raise ValueError(text)


def as_transformers(source: str) -> Callable[..., str]:
    """Renders as transformers' apply_chat_template does."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
    )

    def tojson(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, **options)

    environment.filters["tojson"] = tojson
    environment.globals |= {"raise_exception": _refuse, "strftime_now": lambda form: "2026-01-02"}
    source = re.sub(r"\{%(-?)\s*generation\s*(-?)%\}", r"{%\1 if true \2%}", source)
    source = re.sub(r"\{%(-?)\s*endgeneration\s*(-?)%\}", r"{%\1 endif \2%}", source)
    return environment.from_string(source).render


def _given(source: str, talk: list[dict[str, Any]], *tools: dict[str, Any]) -> dict[str, Any]:
    """What a template of this source is given, as chat gives it."""
    template, messages = ChatTemplate(source), check_messages(talk)
    is_harmony = harmony_messages.is_harmony(marks_of(source))
    if is_harmony:
        messages = harmony_messages.as_messages(messages)
    made = placed(source, template.variables, messages, Tools.of(list(tools)), "m.gguf")
    variables = harmony_messages.as_variables(made.variables) if is_harmony else made.variables
    return {"messages": list(made.messages), "tools": None, "bos_token": "<s>",
            "eos_token": "</s>", **variables}  # fmt: skip


def _plain(value: Any) -> Any:
    """In the types that JSON has: texts that know who wrote them hide it from Jinja's own code."""
    return json.loads(json.dumps(value))


@pytest.mark.parametrize("with_tools", [True, False])
def test_templates_render_as_in_transformers(
    with_tools: bool, llama_cpp_sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each that can be used, to the last character, or with an error where there is one."""
    n = 0
    for path in _templates(llama_cpp_sources):
        source = path.read_text("utf-8")
        render = as_transformers(source)
        for talk in TALKS:
            try:
                given = _given(source, talk, *([TOOL, OTHER] if with_tools else []))
            except UnsupportedModelError:
                continue
            try:
                expected = render(add_generation_prompt=True, **_plain(given))
            except Exception as error:
                with pytest.raises(HalfbyteError):
                    ChatTemplate(source).render(add_generation_prompt=True, **given)
                assert str(error)
                continue
            got = ChatTemplate(source).render(add_generation_prompt=True, **given)
            assert _undated(got) == _undated(expected), (path.stem, talk)
            n += 1
    assert n > 150


def _undated(text: str) -> str:
    """Without the day."""
    return re.sub(r"\d{4}-\d\d-\d\d|\d+ [A-Z][a-z]+ \d{4}|[A-Z][a-z]+ \d+, \d{4}", "DATE", text)


@pytest.fixture(scope="module")
def open_with(vocabularies: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A vocabulary with the tokens that a template spells."""
    folder = tmp_path_factory.mktemp("templates")

    @cache
    def opened(source: str, eos: str) -> Tokenizer:
        specials = sorted({*_SPECIAL.findall(source), eos, "<|endoftext|>"})
        made = vocabularies.train_byte_level("smollm", specials)

        def fill(writer: Any) -> None:
            writer.add_eos_token_id(made.id_of(eos))
            writer.add_chat_template(source)

        return Tokenizer.from_path(made.write(folder / "m.gguf", fill=fill))

    return opened


@pytest.mark.parametrize("name", KNOWN)
def test_what_a_template_writes_is_read_again(
    name: str, llama_cpp_sources: Path, open_with: Callable[[str, str], Tokenizer]
) -> None:
    """As a model says it, token by token, with calls enforced: left to it, or asked for by name."""
    source = (llama_cpp_sources / "models" / "templates" / f"{name}.jinja").read_text("utf-8")
    form, end = KNOWN[name]
    assert format_of(source, name).name == form
    tokenizer = open_with(source, end)
    answer = _answer(source, end)
    for options in ({}, {"tool_choice": "weather"}):
        chat = Chat(tokenizer, tools=[TOOL, OTHER], messages=USER, thinking=False, **options)
        assert "weather" in chat.asked and "now" in chat.asked
        # Asked for, a call begins with its mark.
        at = answer.find(format_of(source, name).begins[0]) if options else 0
        thought = f"Hm.{chat.prompt.thoughts[1]}\n\n" if chat.prompt.is_thinking else ""
        done = chat.says(thought + answer[max(at, 0) :])
        assert calls(done) == [("weather", ARGUMENTS)], (answer, done, done.tool_error)
        assert done.text == "" and done.finish_reason == "tool_calls"
        # Whole before the answer is, where a mark ends it.
        assert chat.request.shown.parts[-1].kind == "tool_call"
    again = Chat(tokenizer, tools=[TOOL, OTHER], messages=[*USER, done.message, RESULT])
    assert "rain" in again.asked


def _answer(source: str, end: str) -> str:
    """What the template writes of an answer that calls, behind the prompt for it."""
    template = ChatTemplate(source)
    options = {"enable_thinking": False, "thinking": False}
    asked = template.render(**_given(source, USER, TOOL, OTHER), **options)
    whole = template.render(
        **_given(source, [*USER, CALLED], TOOL, OTHER), **options, add_generation_prompt=False
    )
    n = next(n for n in range(len(asked), -1, -1) if whole.startswith(asked[:n]))
    if n < len(asked):
        n = (
            max(asked[:n].rfind("\n"), asked[:n].rfind(">"), asked[:n].rfind("]")) + 1
        )  # a whole mark
    answer = whole[n:].removesuffix("\n").removesuffix(end)
    if "<｜tool▁calls▁begin｜>" in answer and "<｜tool▁calls▁end｜>" not in answer:
        answer += "<｜tool▁calls▁end｜>"  # which R1's leaves out behind a single call
    # Seed-OSS' writes lists as Python does, which is read but not asked for.
    return answer.replace("['bus', 'a b']", '["bus", "a b"]')


def test_thoughts_are_told_from_answers(
    llama_cpp_sources: Path, open_with: Callable[[str, str], Tokenizer]
) -> None:
    n = 0
    for name, (_, end) in KNOWN.items():
        path = llama_cpp_sources / "models" / "templates" / f"{name}.jinja"
        source = path.read_text("utf-8")
        marks = marks_of(source)
        if marks is None or harmony_messages.is_harmony(marks):
            continue
        chat = Chat(open_with(source, end), messages=USER, thinking=True)
        begin = "" if chat.prompt.is_thinking else marks[0]
        done = chat.says(f"{begin}Hm.\n{marks[1]}\n\nYes.")
        assert (done.reasoning, done.text) == ("Hm.", "Yes."), name
        n += 1
    assert n > 15


def test_every_template_renders_or_says_why(llama_cpp_sources: Path) -> None:
    """With tools where it takes them in a way that is known."""
    refused = []
    for path in _templates(llama_cpp_sources):
        source = path.read_text("utf-8")
        template = ChatTemplate(source, path=path.name)
        try:
            tools = Tools.of([TOOL]) if place_of(source, template.variables) else None
            made = placed(source, template.variables, check_messages(TALKS[3]), tools, path.name)
        except UnsupportedModelError as error:
            refused.append(f"{path.stem}: {error.got}")
            continue
        assert made.messages
    print("\n".join(refused))
    assert refused
