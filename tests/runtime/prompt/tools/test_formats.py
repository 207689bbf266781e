"""Calls of functions as models write them: each format's examples, and what is malformed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halfbyte.errors import UnsupportedModelError
from halfbyte.prompt.template import ChatTemplate
from halfbyte.prompt.tools.apertus_calls import Apertus
from halfbyte.prompt.tools.call_format import Call, CallFormat, MalformedCall
from halfbyte.prompt.tools.command_calls import Command
from halfbyte.prompt.tools.deepseek_calls import DeepSeek, DeepSeekV3
from halfbyte.prompt.tools.exaone_calls import Exaone4
from halfbyte.prompt.tools.firefunction import Firefunction
from halfbyte.prompt.tools.formats import GENERIC, format_of
from halfbyte.prompt.tools.glm4_calls import Glm4
from halfbyte.prompt.tools.granite_calls import Granite
from halfbyte.prompt.tools.harmony import Harmony
from halfbyte.prompt.tools.hermes import Hermes
from halfbyte.prompt.tools.llama3 import Llama3
from halfbyte.prompt.tools.mistral import Mistral, NamedMistral
from halfbyte.prompt.tools.nemotron_calls import Nemotron
from halfbyte.prompt.tools.olmo3_calls import Olmo3
from halfbyte.prompt.tools.phi4 import Phi4

TEMPLATES = Path(__file__).parent.parent / "template" / "templates"
FORMATS = [
    Hermes(),
    GENERIC,
    Llama3(),
    Mistral(),
    NamedMistral(),
    Granite(),
    Phi4(),
    Nemotron(),
    Firefunction(),
    Glm4(),
    Harmony(),
    Apertus(),
    DeepSeek(),
    DeepSeekV3(),
    Olmo3(),
    Exaone4(),
    Command(),
]
PARIS = ("weather", {"city": "Paris"})
ROME = ("weather", {"city": "Rome", "days": 3})
ARGUMENTS = ('{"city": "Paris"}', '{"city": "Rome", "days": 3}')
TWO = tuple(f'{{"name": "weather", "arguments": {text}}}' for text in ARGUMENTS)

_NEW = "<｜tool▁call▁begin｜>weather<｜tool▁sep｜>{}<｜tool▁call▁end｜>"
_OLD = "<｜tool▁call▁begin｜>function<｜tool▁sep｜>weather\n```json\n{}\n```<｜tool▁call▁end｜>"
# What the templates of these models write for such calls.
WRITTEN: list[tuple[CallFormat, str, list[Any]]] = [
    (Hermes(), '\n{"name": "weather", "arguments": {"city": "Paris"}}\n', [PARIS]),
    (Hermes(), '{"name": "weather", "arguments": "{\\"city\\": \\"Paris\\"}"}', [PARIS]),
    (Hermes(), '{"name": "now"}', [("now", {})]),
    (Hermes(), '{"type": "function", "function": {"name": "now", "arguments": null}}',
     [("now", {})]),
    (Exaone4(), TWO[0], [PARIS]),
    (Command(), "[\n    {}\n]".format(TWO[0].replace("name", "tool_name").replace(
        "arguments", "parameters")), [PARIS]),
    (GENERIC, "[\n{},\n{}\n]".format(*TWO), [PARIS, ROME]),
    (GENERIC, "[]", []),
    (GENERIC, '{"name": "weather", "arguments": {"city": "Paris"}}', [PARIS]),
    (Llama3(), '{"name": "weather", "parameters": {"city": "Paris"}}', [PARIS]),
    (Llama3(), '{"type": "function", "name": "weather", "parameters": {"city": "Paris"}}', [PARIS]),
    (Llama3(), "{}; {}".format(*TWO), [PARIS, ROME]),
    (Mistral(), '[{"name": "weather", "arguments": {"city": "Paris"}, "id": "abcdefghi"}]',
     [PARIS]),
    (Mistral(), " [{}, {}]".format(*TWO), [PARIS, ROME]),
    (NamedMistral(), 'weather[ARGS]{"city": "Paris"}', [PARIS]),
    (NamedMistral(), "weather[ARGS]{}[TOOL_CALLS]weather[ARGS]{}".format(*ARGUMENTS),
     [PARIS, ROME]),
    (NamedMistral(), 'weather[CALL_ID]abcdefghi[ARGS]{"city": "Paris"}', [PARIS]),
    (NamedMistral(), 'weather{"city": "Paris"}', [PARIS]),
    (Mistral(), '[{"name": "f", "arguments": {"x": "a [TOOL_CALLS] b"}}]',
     [("f", {"x": "a [TOOL_CALLS] b"})]),
    (Granite(), "[{}, {}]".format(*TWO), [PARIS, ROME]),
    (Nemotron(), "[{}, {}]".format(*TWO), [PARIS, ROME]),
    (Phi4(), '[{"name": "weather", "arguments": {"city": "Paris"}}]', [PARIS]),
    (Phi4(), '{"type": "function", "function": {"name": "now", "arguments": {}}}', [("now", {})]),
    (Glm4(), 'weather\n{"city": "Paris"}', [PARIS]),
    (Glm4(), 'weather \n{"city": "Paris"}<|assistant|>now\n{}', [PARIS, ("now", {})]),
    (Glm4(), 'f\n{"x": "a <|assistant|> b"}<|assistant|>now\n{}',
     [("f", {"x": "a <|assistant|> b"}), ("now", {})]),
    (Firefunction(), '[{"name": "weather", "arguments": {"city": "Paris"}}]\n', [PARIS]),
    (Harmony(), 'weather <|constrain|>json<|message|>{"city": "Paris"}', [PARIS]),
    (Harmony(), 'weather<|channel|>commentary json<|message|>{"city":"Paris"}<|call|>', [PARIS]),
    (Harmony(), "now<|message|>", [("now", {})]),
    (Apertus(), '[{"weather": {"city": "Paris"}}, {"now": {}}]', [PARIS, ("now", {})]),
    (DeepSeek(), "".join(_NEW.format(text) for text in ARGUMENTS), [PARIS, ROME]),
    (DeepSeek(), _OLD.format(ARGUMENTS[0]), [PARIS]),  # as its models do at times
    (DeepSeekV3(), "\n".join(_OLD.format(text) for text in ARGUMENTS), [PARIS, ROME]),
    (DeepSeekV3(), _OLD.format('{\n  "city": "Paris"\n}'), [PARIS]),
    (DeepSeekV3(), _OLD.format('{"code": "```\\n```"}'), [("weather", {"code": "```\n```"})]),
    (Olmo3(), 'weather(city="Paris")\nweather(city="Rome", days=3)', [PARIS, ROME]),
    (Olmo3(), "\nf.g(a=[1, {\"b\": null}], c=True, d='it\\'s')\nnow()\n",
     [("f.g", {"a": [1, {"b": None}], "c": True, "d": "it's"}), ("now", {})]),
]  # fmt: skip


@pytest.mark.parametrize(("form", "text", "calls"), WRITTEN)
def test_calls_are_read(form: CallFormat, text: str, calls: list[Any]) -> None:
    assert form.parse(text) == calls


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
@pytest.mark.parametrize(
    "text",
    ['{"name": "a", "arguments": ', "nothing", "3", '{"name": 5}',
     '{"arguments": {}, "id": 1}', "[[1]]",
     '{"name": "a", "arguments": [1], "parameters": [1]}',
     '{"name": "a", "arguments": "x", "parameters": "x"}', "[" * 100_000, '{"name": "f"} and more'],
)  # fmt: skip
def test_what_is_no_call_says_why(form: CallFormat, text: str) -> None:
    with pytest.raises(MalformedCall, match=r"expected|no JSON"):
        form.parse(text)


@settings(max_examples=50)
@given(st.text(max_size=40), st.sampled_from(FORMATS))
def test_any_text_is_read_or_refused(text: str, form: CallFormat) -> None:
    try:
        calls = form.parse(text)
    except MalformedCall:
        return
    assert all(isinstance(arguments, dict) for _, arguments in calls)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_what_has_to_come_begins_a_call(form: CallFormat) -> None:
    """A call that begins like this is read as one of that function."""
    text = form.opening("now")
    assert form.opening(None) in text
    for mark in form.begins:
        text = text.removeprefix(mark)
    ends = {
        "hermes": "}", "exaone-4": "}", "llama-3": "}", "generic": "}\n]", "mistral-args": "",
        "glm-4": "", "harmony": "", "apertus": "}]", "olmo-3": ")", "deepseek-v3": "\n```",
        "deepseek": "<｜tool▁call▁end｜>",
    }  # fmt: skip
    given = "a=1" if form.name == "olmo-3" else '{"a": 1}'
    assert form.parse(text + given + ends.get(form.name, "}]")) == [("now", {"a": 1})]


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_what_is_written_of_calls_is_read_again(form: CallFormat) -> None:
    calls = [Call("weather", {"city": "Zürich"}), Call("now", {})]
    parts = form.written(calls)
    if parts is None:  # its templates write them
        return
    between = [part for part in parts if part not in (*form.begins, form.end, "\n")]
    assert [call for part in between for call in form.parse(part)] == calls
    assert parts[0] == form.begins[0] and all(one in (*form.begins, form.end) for one in parts[::2])


def test_an_object_of_llama_3_is_a_call_by_its_first_key() -> None:
    begins_with = Llama3().begins_with
    assert begins_with(' \n{ "name" :') and begins_with('{"type": "function"')
    for open_still in ("", " ", "{", '{"na', '{"name"'):
        assert begins_with(open_still) is None
    for other in ("The", '{"answer": 1', "{" + "x" * 80, "[1"):
        assert begins_with(other) is False


def test_an_answer_of_glm_4_is_a_call_by_its_second_line() -> None:
    begins_with = Glm4().begins_with
    assert begins_with('weather\n{"') and begins_with("f \n {")
    for open_still in ("", "weath", "weather\n", "f "):
        assert begins_with(open_still) is None
    for other in ("\n", "\nIt rains", "It rains", "weather\nx", "x" * 200):
        assert begins_with(other) is False


@pytest.mark.parametrize(("name", "form"), [("qwen", "hermes"), ("mistral", "mistral")])
def test_templates_say_which_format(name: str, form: str) -> None:
    source = (TEMPLATES / f"{name}.jinja").read_text("utf-8")
    assert format_of(source, "m.gguf").name == form
    assert "tools" in ChatTemplate(source).variables


@pytest.mark.parametrize("name", ["qwen", "mistral"])
def test_what_a_template_writes_is_read_again(name: str) -> None:
    source = (TEMPLATES / f"{name}.jinja").read_text("utf-8")
    function = {"name": "weather", "arguments": {"city": "Zürich", "n": [1, None, True]}}
    call = {"type": "function", "id": "abcdefghi", "function": function}
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
    ]
    text = ChatTemplate(source).render(
        messages, add_generation_prompt=False, bos_token="", eos_token="</s>", tools=None
    )
    form = format_of(source, "m.gguf")
    found = re.search(r"(?:<tool_call>|\[TOOL_CALLS\])(.*?)(?:</|<\|)", text, re.S)
    assert found and form.parse(found[1]) == [("weather", function["arguments"])]


def test_other_formats_are_refused_by_name() -> None:
    assert format_of('<|start_header_id|> "parameters"', "m.gguf").name == "llama-3"
    assert format_of("[TOOL_CALLS] [ARGS]", "m.gguf").name == "mistral-args"
    assert format_of("<tool_call><function={{ tools }}", "m.gguf").name == "qwen3-coder"
    assert format_of("<tool_call><arg_key>", "m.gguf").name == "glm"
    assert format_of("<|tool_call|> <|start_of_role|>", "m.gguf").name == "granite"
    assert format_of("<TOOLCALL>[{{ tools }}", "m.gguf").name == "nemotron"
    assert format_of("<|observation|> m.metadata", "m.gguf").name == "glm-4"
    assert format_of("<|tools_prefix|>", "m.gguf").name == "apertus"
    assert format_of("<｜tool▁calls▁begin｜>", "m.gguf").name == "deepseek"
    assert format_of("<｜tool▁calls▁begin｜> ```json", "m.gguf").name == "deepseek-v3"
    assert format_of("<function_calls> environment", "m.gguf").name == "olmo-3"
    for source, got in (
        ("{{ tools }}", "another way"),
        ("<function={{ tools }}", "Functionary's way"),
        ("<tool_call><invoke", "MiniMax' way"),
        ('<|start_header_id|> "parameters" >>>all', "Functionary's way"),
    ):
        with pytest.raises(
            UnsupportedModelError, match="mistral, seed-oss, qwen3-coder, glm, "
        ) as refused:
            format_of(source, "m.gguf")
        assert refused.value.got == got


def test_json_of_a_call_may_be_spread_over_lines() -> None:
    value = {"name": "weather", "arguments": {"city": "Paris"}}
    assert Hermes().parse(json.dumps(value, indent=4)) == [PARIS]
