"""An answer in Harmony in its parts, however its text is cut into pieces."""

from __future__ import annotations

from typing import Any

import pytest

from halfbyte.generation.harmony_text import HarmonyText
from halfbyte.prompt.tools.harmony import Harmony
from halfbyte.tokenizer.harmony_texts import TEXTS, THOUGHTS

THINKS = "<|channel|>analysis<|message|>hm <b>\n<|end|>"
FINAL = "<|start|>assistant<|channel|>final<|message|>Yes."
CALL = "<|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json<|message|>{1}"
# What the model writes; thoughts, content, calls.
ANSWERS: list[tuple[str, str, str, list[str]]] = [
    (THINKS + FINAL, "hm <b>", "Yes.", []),
    ("<|channel|>final<|message|> Yes <|", "", " Yes <|", []),
    (THINKS + CALL, "hm <b>", "", ["f<|message|>{1}"]),
    (" to=functions.f<|channel|>commentary json<|message|>{1}", "", "", ["f<|message|>{1}"]),
    ("<|start|>assistant to=functions.f<|channel|>analysis<|message|>{1}", "", "",
     ["f<|message|>{1}"]),
    ("<|channel|>analysis to=python code<|message|>1", "", "", ["python<|message|>1"]),
    (f"{THINKS}<|start|>assistant<|channel|>commentary<|message|>I look.<|end|>{CALL}",
     "hm <b>", "I look.", ["f<|message|>{1}"]),
    (f"<|channel|>commentary<|message|>I look.<|end|>{FINAL}", "", "I look.\n\nYes.", []),
    (f"{THINKS}<|start|>assistant{THINKS}{FINAL}", "hm <b>\n\nhm <b>", "Yes.", []),
    ("<|channel|>commentary to=assistant<|message|>Yes.", "", "Yes.", []),
    ("<|channel|>analysis<|message|>hm <|en", "hm <|en", "", []),
    (THINKS + "<|start|>assistant<|channel|>fin", "hm <b>", "", []),
    ("A plain answer to=functions.f", "", "A plain answer to=functions.f", []),
    ("<|", "", "<|", []),
]  # fmt: skip


def read(pieces: list[str], stops: tuple[str, ...] = (), **how: Any) -> HarmonyText:
    spelled = dict(enumerate(TEXTS))
    text, shown = HarmonyText(stops, thoughts=THOUGHTS, spelled=spelled, **how), ""
    for piece in pieces:
        if text.push(piece):
            return text
        assert text.text.startswith(shown)
        shown = text.text
    text.finish()
    assert text.text.startswith(shown)
    return text


@pytest.mark.parametrize(("written", "reasoning", "content", "calls"), ANSWERS)
def test_messages_are_told_apart(
    written: str, reasoning: str, content: str, calls: list[str]
) -> None:
    for cut in range(len(written) + 1):
        for pieces in ([written[:cut], written[cut:]], list(written)):
            text = read(pieces, calls=Harmony())
            assert (text.reasoning, text.text, text.calls) == (reasoning, content, calls)
            told = {kind: "" for kind in ("reasoning", "content", "tool_call")}
            for kind, piece in text.parts:
                told[kind] += piece
            assert tuple(told.values()) == (reasoning, content, "".join(calls))


def test_a_call_without_tools_is_said() -> None:
    assert read([CALL]).text == "{1}"


def test_stops_count_in_content_alone() -> None:
    text = read(list(THINKS + FINAL), stops=("hm", "es"))
    assert (text.reasoning, text.text, text.stop_text) == ("hm <b>", "Y", "es")


def test_an_answer_that_is_copied_goes_its_own_way() -> None:
    text = HarmonyText(thoughts=THOUGHTS, spelled=dict(enumerate(TEXTS)))
    text.push(THINKS + FINAL)
    other = text.fork()
    other.push(" And no.")
    assert (text.text, other.text) == ("Yes.", "Yes. And no.")
