"""An answer in its parts, however its text is cut into pieces."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halfbyte.generation.chat_text import ChatText
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


def test_a_call_without_its_end_is_known_as_one() -> None:
    assert read(HERMES, ["<tool_call>{"]).is_within_call
    assert not read(HERMES, ["<tool_call>{}</tool_call>"]).is_within_call
