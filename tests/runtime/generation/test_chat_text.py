"""An answer in its parts, however its text is cut into pieces."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halfbyte.generation.chat_text import ChatText
from halfbyte.prompt.tools.formats import GENERIC, KNOWN
from halfbyte.prompt.tools.hermes import Hermes
from halfbyte.prompt.tools.llama3 import Llama3
from halfbyte.prompt.tools.mistral import Mistral

THINK = ("<think>", "</think>")
HERMES: dict[str, Any] = {"calls": Hermes()}
BOTH: dict[str, Any] = {"calls": Hermes(), "thoughts": THINK}
INSIDE: dict[str, Any] = {"thoughts": THINK, "is_thinking": True}
# How it is read, what the model writes; thoughts, content, calls.
ANSWERS: list[tuple[dict[str, Any], str, str, str, list[str]]] = [
    ({}, " a <think> b", "", " a <think> b", []),
    ({"thoughts": THINK}, "<think>\nhm <b>\n</think>\n\nYes.\n", "hm <b>", "Yes.\n", []),
    ({"thoughts": THINK}, " \n<think></think>Yes", "", "Yes", []),
    ({"thoughts": THINK}, "Yes <think>no</think>", "", "Yes <think>no</think>", []),
    ({"thoughts": THINK}, "<thin", "", "<thin", []),
    ({"thoughts": THINK}, "<think>hm </thin", "hm </thin", "", []),
    (INSIDE, "\nhm\n\nhm\n</think>\n\nYes", "hm\n\nhm", "Yes", []),
    (INSIDE, "hm \n", "hm", "", []),
    (HERMES, "<tool_call>\n{1}\n</tool_call>", "", "", ["\n{1}\n"]),
    (HERMES, "I look.\n<tool_call>{1}</tool_call>\n<tool_call>{2}</tool_call>\n", "", "I look.",
     ["{1}", "{2}"]),
    (HERMES, "<tool_call>{1}</tool_call> so \n", "", "so \n", ["{1}"]),
    (HERMES, "a < b <tool", "", "a < b <tool", []),
    (HERMES, "a \n", "", "a \n", []),
    (HERMES, "<tool_call>{1}</tool", "", "", ["{1}</tool"]),
    (BOTH, "<think>a <tool_call> b</think>\n<tool_call>{1}</tool_call>", "a <tool_call> b", "",
     ["{1}"]),
    ({"calls": Llama3()}, '\n{"name": "f", "parameters": {}}', "", "",
     ['\n{"name": "f", "parameters": {}}']),
    ({"calls": Llama3()}, '<|python_tag|>{"name": "f"}', "", "", ['{"name": "f"}']),
    ({"calls": Llama3()}, '{"answer": 3}', "", '{"answer": 3}', []),
    ({"calls": Llama3()}, '{"na', "", '{"na', []),
    ({"calls": Llama3()}, 'It is {"name": "f"}', "", 'It is {"name": "f"}', []),
    ({"calls": Mistral()}, '[TOOL_CALLS][{"name": "f"}]', "", "", ['[{"name": "f"}]']),
]  # fmt: skip

# Of the formats whose calls have an end, a call with a text in it.
_LISTED = '[{"name": "f", "arguments": {"x": "%s"}}]'
_FENCED = "<｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n%s\n```<｜tool▁call▁end｜>"
_LINES = "<function=f>\n<parameter=x>\n%s\n</parameter>\n</function>\n"
_DSML = '<｜DSML｜invoke name="f">\n<｜DSML｜parameter name="x" string="true">%s'
ONE_CALL = {
    "hermes": '\n{"name": "f", "arguments": {"x": "%s"}}\n',
    "exaone-4": '{"name": "f", "arguments": {"x": "%s"}}',
    **dict.fromkeys(("generic", "nemotron", "phi-4"), _LISTED),
    "apertus": '[{"f": {"x": "%s"}}]',
    "command-r7b": '[\n    {"tool_name": "f", "parameters": {"x": "%s"}}\n]',
    "deepseek": '<｜tool▁call▁begin｜>f<｜tool▁sep｜>{"x": "%s"}<｜tool▁call▁end｜>',
    "deepseek-v3": _FENCED % '{"x": "%s"}',
    "olmo-3": 'f(x="%s")',
    "lfm2": "[f(x='%s')]",
    "gemma-4": 'call:f{x:<|"|>%s<|"|>}',
    "qwen3-coder": f"\n{_LINES}",
    "seed-oss": "<function=f>\n<parameter=x>%s</parameter>\n</function>\n",
    "glm": "f\n<arg_key>x</arg_key>\n<arg_value>%s</arg_value>\n",
    "dsml": f"\n{_DSML}</｜DSML｜parameter>\n</｜DSML｜invoke>\n",
}


def read(how: dict[str, Any], pieces: list[str], stops: tuple[str, ...] = ()) -> ChatText:
    text = ChatText(stops, **how)
    shown = ""
    for piece in pieces:
        is_over = text.push(piece)
        assert text.text.startswith(shown)
        shown = text.text
        if is_over:
            return text
    text.finish()
    assert text.text.startswith(shown)
    return text


@pytest.mark.parametrize(("how", "written", "reasoning", "content", "calls"), ANSWERS)
def test_parts_are_told_apart(
    how: dict[str, Any], written: str, reasoning: str, content: str, calls: list[str]
) -> None:
    for cut in range(len(written) + 1):
        for pieces in ([written[:cut], written[cut:]], list(written)):
            text = read(how, pieces)
            assert (text.reasoning, text.text, text.calls) == (reasoning, content, calls)
            told = {kind: "" for kind in ("reasoning", "content", "tool_call")}
            for kind, piece in text.parts:
                told[kind] += piece
            assert tuple(told.values()) == (reasoning, content, "".join(calls))


@settings(max_examples=100)
@given(
    st.lists(st.sampled_from([*THINK, "<tool_call>", "</tool_call>", "#", " ", "<"]), max_size=9)
)
def test_no_mark_is_shown_and_nothing_is_lost(words: list[str]) -> None:
    text = read(BOTH, words)
    once = read(BOTH, list("".join(words)))
    assert (text.reasoning, text.text, text.calls) == (once.reasoning, once.text, once.calls)
    assert "<tool_call>" not in text.text
    shown = "".join(part.text for part in text.parts)
    assert shown.count("#") == words.count("#")


def test_a_stop_counts_in_the_content_alone() -> None:
    text = read(
        BOTH, list("<think>END</think>say <tool_call>END</tool_call> so END more"), ("END",)
    )
    assert (text.reasoning, text.text, text.calls) == ("END", "say so ", ["END"])


@pytest.mark.parametrize("name", [name for name, form in KNOWN.items() if form.end] + ["generic"])
def test_an_end_within_a_value_is_part_of_it(name: str) -> None:
    """As in code about calls, which is written by calls."""
    form = KNOWN.get(name, GENERIC)
    schema = {"f": {"parameters": {"properties": {"x": {"type": "string"}}}}}
    for value in (f"a {form.end} b", form.end * 2, f"'{form.end}"):
        if name == "lfm2":
            value = value.replace("'", r"\'")
        written = f"So:\n{form.begins[0]}{ONE_CALL[name] % value}{form.end} and more"
        for pieces in ([written], list(written)):
            text = read({"calls": form}, pieces)
            assert (text.text, text.calls) == ("So:\nand more", [ONE_CALL[name] % value])
            called = [("f", {"x": value.replace("\\", "")})]
            assert form.parse(text.calls[0], schema) == called


def test_a_call_without_its_end_is_known_as_one() -> None:
    assert read(HERMES, ["<tool_call>{"]).is_within_call
    assert not read(HERMES, ["<tool_call>{}</tool_call>"]).is_within_call
