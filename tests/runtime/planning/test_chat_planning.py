"""Chats with tools, from keywords to results; the model's words are played back."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from played_chat import (
    CHATML,
    HERMES,
    LLAMA,
    MISTRAL,
    NAMED,
    ROME,
    TOOL,
    USER,
    Chat,
    calls,
)

from halfbyte.errors import RequestError, TemplateError, ToolCallError
from halfbyte.generation.chat_completion import ToolCall
from halfbyte.planning.chat_planning import ChatAsked
from halfbyte.tokenizer import Tokenizer


@pytest.mark.usefixtures("unenforced")
@pytest.mark.parametrize("spelled", [False, True])
@pytest.mark.parametrize(
    ("template", "answer", "content"),
    [
        (HERMES, f"I look.\n<tool_call>\n{ROME}\n</tool_call>", "I look."),
        (CHATML, f"<tool_call>[\n{ROME}\n]</tool_call>", ""),
        (MISTRAL, f"[TOOL_CALLS][{ROME}]", ""),
        (NAMED, '[TOOL_CALLS]weather[ARGS]{"city": "Rome"}', ""),
        (LLAMA, '{"name": "weather", "parameters": {"city": "Rome"}}', ""),
        (LLAMA, '<|python_tag|>{"name": "weather", "parameters": {"city": "Rome"}}', ""),
    ],
)
def test_a_call_is_read_and_not_shown(
    template: str, answer: str, content: str, spelled: bool, open_with: Callable[[str], Tokenizer]
) -> None:
    """Whether its marks are tokens of their own or are spelled."""
    chat = Chat(open_with(template), tools=[TOOL])
    done = chat.says(answer, spelled=spelled)
    assert calls(done) == [("weather", {"city": "Rome"})]
    assert (done.text, done.finish_reason, done.cut_call) == (content, "tool_calls", "")
    assert done.reasoning == ""
    assert "weather" in chat.asked


@pytest.mark.usefixtures("unenforced")
@pytest.mark.parametrize(
    ("written", "city"),
    [(r"\ud83d", "\ufffd"), (r"a\ude00\ud83db", "a\ufffd\ufffdb"), (r"\ud83d\ude00", "\U0001f600")],
)
def test_half_a_character_in_a_call_is_replaced(
    written: str, city: str, open_with: Callable[[str], Tokenizer]
) -> None:
    """No text holds it: nobody could send such a call, or go on with it."""
    tokenizer = open_with(HERMES)
    done = Chat(tokenizer, tools=[TOOL]).says(
        f"<tool_call>{ROME.replace('Rome', written)}</tool_call>"
    )
    assert calls(done) == [("weather", {"city": city})]
    assert Chat(tokenizer, tools=[TOOL], messages=[*USER, done.message]).asked.encode()


@pytest.mark.usefixtures("unenforced")
def test_a_conversation_goes_on_with_the_result(open_with: Callable[[str], Tokenizer]) -> None:
    for template, written in (
        (HERMES, f"\n<tool_call>\n{ROME}\n</tool_call><|im_end|>"),
        (CHATML, f"<tool_call>[\n{ROME}\n]</tool_call><|im_end|>"),
    ):
        tokenizer = open_with(template)
        done = Chat(tokenizer, tools=[TOOL]).says(f"<tool_call>{ROME}</tool_call>")
        call = done.tool_calls[0]
        result = {"role": "tool", "tool_call_id": call.id, "content": "rain"}
        chat = Chat(tokenizer, tools=[TOOL], messages=[*USER, done.message, result, result])
        assert written in chat.asked
        assert chat.asked.count("<tool_response>\nrain\n</tool_response>") == 2
        assert chat.says("Rain.").text == "Rain."


@pytest.mark.usefixtures("unenforced")
def test_ids_of_calls_are_the_same_again_and_differ(open_with: Callable[[str], Tokenizer]) -> None:
    tokenizer = open_with(HERMES)
    answer = f"<tool_call>{ROME}</tool_call><tool_call>{ROME}</tool_call>"
    done = Chat(tokenizer, tools=[TOOL]).says(answer)
    again = Chat(tokenizer, tools=[TOOL]).says(answer)
    ids = [call.id for call in done.tool_calls]
    assert ids == [call.id for call in again.tool_calls] and len(set(ids)) == 2
    assert all(len(i) == 9 and i.isalnum() for i in ids)


def test_arguments_may_be_given_as_json_text(open_with: Callable[[str], Tokenizer]) -> None:
    function = {"name": "weather", "arguments": '{"city": "Rome"}'}
    message = {"role": "assistant", "content": None, "tool_calls": [{"function": function}]}
    chat = Chat(open_with(HERMES), tools=[TOOL], messages=[*USER, message, USER[0]])
    assert f"<tool_call>\n{ROME}\n</tool_call>" in chat.asked


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "tool_calls": "x"},
        {"role": "assistant", "tool_calls": [{}]},
        {"role": "assistant", "tool_calls": [{"function": {"name": ""}}]},
        {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]},
        {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": [1]}}]},
        {"role": "assistant", "content": None},
        {"role": "tool", "content": None},
    ],
)
def test_bad_messages_are_named(message: Any, open_with: Callable[[str], Tokenizer]) -> None:
    with pytest.raises(RequestError) as caught:
        Chat(open_with(CHATML), messages=[*USER, message])
    assert caught.value.param == "messages[1]"


def test_no_tools_or_no_choice_means_no_calls(open_with: Callable[[str], Tokenizer]) -> None:
    answer = f"<tool_call>{ROME}</tool_call>"
    for options in ({}, {"tools": [TOOL], "tool_choice": "none"}):
        chat = Chat(open_with(CHATML), **options)
        done = chat.says(answer, spelled=True)
        assert (done.text, done.tool_calls, done.finish_reason) == (answer, (), "stop")
        assert "weather" not in chat.asked


@pytest.mark.usefixtures("unenforced")
@pytest.mark.parametrize(
    "call", ['{"name": "weather", "argu', "none", '{"name": "now", "arguments": {}}']
)
def test_a_malformed_call_is_an_error_that_has_it(
    call: str, open_with: Callable[[str], Tokenizer]
) -> None:
    said = f"<tool_call>{ROME}</tool_call><tool_call>{call}</tool_call>"
    done = Chat(open_with(HERMES), tools=[TOOL]).says(f"So: {said}")
    assert done.tool_error is not None and calls(done) == [("weather", {"city": "Rome"})]
    with pytest.raises(ToolCallError) as caught:
        done.check_calls()
    told = call + "</tool_call>" * call.endswith("argu")  # within a text that is no end
    assert caught.value.text == told and caught.value.completion is done and done.text == "So:"
    assert (
        caught.value.reason in str(caught.value)
        and caught.value.reason in done.to_dict()["tool_error"]
    )
    assert pickle.loads(pickle.dumps(done)).tool_error.reason == caught.value.reason
    Chat(open_with(HERMES), tools=[TOOL]).says(f"<tool_call>{ROME}</tool_call>").check_calls()


@pytest.mark.usefixtures("unenforced")
def test_halves_of_characters_are_none(open_with: Callable[[str], Tokenizer]) -> None:
    call = ROME.replace("Rome", r"\ud83d \ud83d\ude00 \ude00")
    done = Chat(open_with(HERMES), tools=[TOOL]).says(f"<tool_call>{call}</tool_call>")
    assert calls(done) == [("weather", {"city": "\ufffd \N{GRINNING FACE} \ufffd"})]


@pytest.mark.usefixtures("unenforced")
@pytest.mark.parametrize(("template", "mark"), [(HERMES, "<tool_call>"), (MISTRAL, "[TOOL_CALLS]")])
def test_a_call_that_is_cut_is_told_and_is_none(
    template: str, mark: str, open_with: Callable[[str], Tokenizer]
) -> None:
    done = Chat(open_with(template), tools=[TOOL], n_most=9).says(f"{mark}[{ROME}]")
    assert (done.finish_reason, done.tool_calls, done.text) == ("length", (), "")
    assert done.cut_call and f"[{ROME}]".startswith(done.cut_call)


@pytest.mark.usefixtures("unenforced")
@pytest.mark.parametrize("choice", ["required", "weather"])
@pytest.mark.parametrize(
    ("template", "end", "key"),
    [(HERMES, "}\n</tool_call>", "arguments"), (CHATML, "}]</tool_call>", "arguments"),
     (MISTRAL, "}]", "arguments"), (LLAMA, "}", "parameters")],
)  # fmt: skip
def test_a_call_that_has_to_come_comes(
    template: str, end: str, key: str, choice: str, open_with: Callable[[str], Tokenizer]
) -> None:
    chat = Chat(open_with(template), tools=[TOOL], tool_choice=choice, thinking=False)
    begin = "" if choice == "weather" else f'weather", "{key}":'
    assert calls(chat.says(f'{begin} {{"city": "Rome"}}{end}')) == [("weather", {"city": "Rome"})]


def test_where_there_is_no_system_message_the_user_tells_of_tools(
    open_with: Callable[[str], Tokenizer],
) -> None:
    refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}"
    chat = Chat(open_with(refusing + CHATML), tools=[TOOL])
    assert chat.asked.startswith("<|im_start|>user\nYou are an expert")
    assert "How is it in Rome?" in chat.asked


def test_a_template_that_fails_with_tools_says_so(open_with: Callable[[str], Tokenizer]) -> None:
    tokenizer = open_with("{# <tool_call> #}{% if tools %}{{ tools + 1 }}{% endif %}x")
    assert Chat(tokenizer).asked == "x"
    with pytest.raises(TemplateError, match="renders with these tools"):
        Chat(tokenizer, tools=[TOOL])


def test_a_schema_that_no_grammar_has_is_refused_by_name(
    open_with: Callable[[str], Tokenizer],
) -> None:
    schema = {"type": "object", "properties": {"a": {"$ref": "http://x.org/y"}}}
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    with pytest.raises(RequestError) as caught:
        Chat(open_with(CHATML), tools=[tool])
    assert caught.value.param == "tools"


def test_what_no_grammar_can_follow_gets_a_word(
    open_with: Callable[[str], Tokenizer], caplog: pytest.LogCaptureFixture
) -> None:
    many = {"type": "array", "items": {"enum": [1, 2]}, "uniqueItems": True, "maxItems": 2}
    schema = {"type": "object", "properties": {"a": many}, "required": ["a"]}
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    chat = Chat(open_with(CHATML), tools=[tool], tool_choice="f")
    assert chat.prompt.calls is not None and "uniqueItems" in caplog.text


@pytest.mark.usefixtures("unenforced")
def test_without_llguidance_a_word_is_said(
    open_with: Callable[[str], Tokenizer], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        Chat(open_with(CHATML), tools=[TOOL])
    assert "pip install 'halfbyte[grammar]'" in caplog.text


def test_a_result_is_json() -> None:
    call = ToolCall("123456789", "weather", {"city": "Rome"})
    assert call.to_dict() == {"id": "123456789", "name": "weather", "arguments": {"city": "Rome"}}


@pytest.mark.parametrize("choice", ["auto", "required"])
@pytest.mark.parametrize(
    ("template", "answer"),
    [
        (HERMES, f"<tool_call>\n{ROME}\n</tool_call>\n<tool_call>\n{ROME}\n</tool_call>"),
        (CHATML, f"<tool_call>[\n{ROME},\n{ROME}\n]</tool_call>"),
        (MISTRAL, f"[TOOL_CALLS][{ROME}, {ROME}]"),
        (NAMED, '[TOOL_CALLS]weather[ARGS]{"city": "Rome"}' * 2),
    ],
)
def test_where_calls_are_not_parallel_there_is_one_at_most(
    template: str, answer: str, choice: str, open_with: Callable[[str], Tokenizer]
) -> None:
    tokenizer = open_with(template)
    how: dict[str, Any] = {"tools": [TOOL], "tool_choice": choice, "thinking": False}
    begin = "" if choice == "auto" else answer[: answer.index("]" if "[T" in answer else ">") + 1]
    answer = answer[len(begin) :]
    one = Chat(tokenizer, **how, parallel_tool_calls=False).says(answer)
    assert (calls(one), one.text) == ([("weather", {"city": "Rome"})], "")
    if choice == "auto" or template != HERMES:
        assert len(Chat(tokenizer, **how).says(answer).tool_calls) == 2
    none = Chat(tokenizer, tools=[TOOL], parallel_tool_calls=False).says("No.")
    assert (none.text, none.tool_calls) == ("No.", ())


def test_parallel_calls_are_a_switch() -> None:
    with pytest.raises(RequestError) as caught:
        ChatAsked.split({"tools": [TOOL], "parallel_tool_calls": 2})
    assert caught.value.param == "parallel_tool_calls"
