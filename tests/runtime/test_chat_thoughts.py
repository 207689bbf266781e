"""Chats with thoughts: told apart, switched on and off, ended by their budget."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from played_chat import (
    CHATML,
    R1,
    THINKS,
    TOOL,
    Chat,
    calls,
)

from halfbyte.errors import RequestError
from halfbyte.planning.chat_planning import ChatAsked
from halfbyte.tokenizer import Tokenizer


def test_thoughts_are_told_apart(open_with: Callable[[str], Tokenizer]) -> None:
    done = Chat(open_with(THINKS)).says("<think>\nhm\n</think>\n\nYes.")
    assert (done.reasoning, done.text, done.finish_reason) == ("hm", "Yes.", "stop")
    assert done.message["reasoning_content"] == "hm"
    assert Chat(open_with(R1)).says("hm\n</think>\n\nYes.").reasoning == "hm"
    assert Chat(open_with(CHATML)).says("<think>hm</think>", spelled=True).reasoning == ""


def test_a_control_token_that_marks_nothing_is_not_shown(
    open_with: Callable[[str], Tokenizer],
) -> None:
    chat = Chat(open_with(THINKS))
    has_text = not chat.prompt.spelled
    done = chat.says("Yes</think>, no<think>.")
    assert done.text == ("Yes</think>, no<think>." if has_text else "Yes, no.")


def test_the_switch_of_a_template_is_set(
    open_with: Callable[[str], Tokenizer], caplog: pytest.LogCaptureFixture
) -> None:
    tokenizer = open_with(THINKS)
    assert Chat(tokenizer, thinking=False).asked.endswith("<think>\n\n</think>\n\n")
    for thinking in (None, True):
        assert Chat(tokenizer, thinking=thinking).asked.endswith("assistant\n")
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        Chat(open_with(CHATML), thinking=True, reasoning_budget=3)
    assert [record.getMessage().partition(" has")[0] for record in caplog.records] == [
        "thinking=True", "reasoning_budget",
    ]  # fmt: skip


@pytest.mark.parametrize(("template", "begin"), [(THINKS, "<think>"), (R1, "")])
@pytest.mark.parametrize("budget", [0, 1, 5])
def test_thoughts_end_with_their_budget(
    template: str, begin: str, budget: int, open_with: Callable[[str], Tokenizer]
) -> None:
    tokenizer = open_with(template)
    thought = "one two three four five six seven"
    chat = Chat(tokenizer, n_most=60, reasoning_budget=budget, reasoning_closing=" Enough.")
    done = chat.says(f"{begin}{thought}")
    n = len(tokenizer.encode_rendered(begin)) + budget
    ids = tokenizer.encode_rendered(f"{begin}{thought}")[:n]
    ids += tokenizer.encode_rendered(" Enough.</think>")
    assert done.tokens[: len(ids)] == ids
    assert done.reasoning.endswith("Enough.") and "Enough" not in done.text
    assert f"{thought} Enough.".endswith(done.reasoning) == (budget == 0)


def test_a_budget_that_is_not_reached_changes_nothing(
    open_with: Callable[[str], Tokenizer],
) -> None:
    done = Chat(open_with(THINKS), reasoning_budget=50).says("<think>hm é</think>Yes, é.")
    assert (done.reasoning, done.text) == ("hm é", "Yes, é.")
    assert Chat(open_with(THINKS), reasoning_budget=0).says("Yes.").text == "Yes."


def test_a_budget_waits_for_a_whole_character(open_with: Callable[[str], Tokenizer]) -> None:
    tokenizer = open_with(THINKS)
    thought = "\U0001f600" * 3
    n_first = len(tokenizer.encode_fragment("\U0001f600"))
    assert n_first > 1
    done = Chat(tokenizer, reasoning_budget=1, reasoning_closing="!").says(f"<think>{thought}")
    assert done.reasoning == "\U0001f600!"


@pytest.mark.usefixtures("unenforced")
def test_a_model_may_think_before_it_has_to_call(open_with: Callable[[str], Tokenizer]) -> None:
    tokenizer = open_with(THINKS)
    rest = ' {"city": "Rome"}}]</tool_call>'
    for thinking, answer in (
        (None, f"<think>hm</think>{rest}"), (True, f"<tool_call>{rest}"), (False, rest),
    ):  # fmt: skip
        chat = Chat(tokenizer, tools=[TOOL], tool_choice="weather", thinking=thinking)
        done = chat.says(answer)
        assert calls(done) == [("weather", {"city": "Rome"})]
        assert done.reasoning == ("hm" if "hm" in answer else "") and done.text == ""


@pytest.mark.parametrize("template", [CHATML, THINKS])
def test_an_effort_that_no_template_reads_is_refused(
    template: str, open_with: Callable[[str], Tokenizer]
) -> None:
    with pytest.raises(RequestError, match="whose chat template reads it") as caught:
        Chat(open_with(template), reasoning_effort="high")
    assert caught.value.param == "reasoning_effort"


@pytest.mark.parametrize("value", ["", "very high", "high<|end|>", 3, True, ["low"]])
def test_efforts_that_are_no_words_are_named(value: Any) -> None:
    with pytest.raises(RequestError) as caught:
        ChatAsked.split({"reasoning_effort": value})
    assert caught.value.param == "reasoning_effort"


@pytest.mark.parametrize("value", [-1, 2**40, 1.5, True, "3"])
def test_bad_budgets_are_named(value: Any) -> None:
    with pytest.raises(RequestError) as caught:
        ChatAsked.split({"reasoning_budget": value})
    assert caught.value.param == "reasoning_budget"


@pytest.mark.parametrize(("name", "value"), [("thinking", "yes"), ("reasoning_closing", 3)])
def test_other_bad_values_are_named(name: str, value: Any) -> None:
    with pytest.raises(RequestError) as caught:
        ChatAsked.split({name: value})
    assert caught.value.param == name
