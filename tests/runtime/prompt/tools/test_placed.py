"""Where templates take functions from, and calls that they do not write themselves."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from played_chat import (
    CHATML,
    DEEPSEEK,
    DEEPSEEK_V3,
    GLM4,
    GRANITE,
    HERMES,
    PHI4,
    ROME,
    SMOLLM3,
    TOOL,
    USER,
    Chat,
    calls,
)

from halfbyte.prompt.tools.formats import KNOWN
from halfbyte.prompt.tools.placed import place_of
from halfbyte.tokenizer import Tokenizer

FUNCTION = json.dumps(TOOL["function"], ensure_ascii=False)
LIST = f"[{ROME}]"
# Template, what the model writes, what it is told of the function.
WAYS = [
    (GRANITE, f"<|tool_call|>{LIST}", '"function": {"name": "weather"'),
    (PHI4, f"<|tool_call|>{LIST}<|/tool_call|>", f"<|tool|>[{FUNCTION}]<|/tool|>"),
    (SMOLLM3, f"<tool_call>\n{ROME}\n</tool_call>", "{'name': 'weather'"),
]


@pytest.mark.parametrize(("template", "answer", "told"), WAYS)
def test_a_conversation_with_calls(
    template: str, answer: str, told: str, open_with: Callable[[str], Tokenizer]
) -> None:
    tokenizer = open_with(template)
    chat = Chat(tokenizer, tools=[TOOL])
    assert told in chat.asked
    done = chat.says(answer)
    assert calls(done) == [("weather", {"city": "Rome"})] and done.text == ""
    result = {"role": "tool", "tool_call_id": done.tool_calls[0].id, "content": "rain"}
    for options in ({"tools": [TOOL]}, {}):  # the calls stay in the conversation
        again = Chat(tokenizer, messages=[*USER, done.message, result], **options)
        assert f"assistant\n{answer}<|im_end|>" in again.asked and "rain" in again.asked
    mark = tokenizer.id_of("<tool_call>" if template == SMOLLM3 else "<|tool_call|>")
    assert mark in again.prompt.tokens  # a token, which nobody's text becomes
    user = [{"role": "user", "content": answer}]
    is_text = bool(tokenizer.token_bytes(mark))  # as vocabularies may have it
    assert is_text or mark not in Chat(tokenizer, messages=user).prompt.tokens


def test_a_template_for_tools_goes_before_the_default_one(
    open_with: Callable[[str], Tokenizer], caplog: pytest.LogCaptureFixture
) -> None:
    """As with transformers and llama.cpp: Hermes 3's files have one beside a plain one."""
    plain = open_with(CHATML).vocabulary
    tokenizer = Tokenizer(replace(plain, named_templates={"rag": "no", "tool_use": HERMES}))
    chat = Chat(tokenizer, tools=[TOOL])
    assert chat.prompt.calls == KNOWN["hermes"] and "<tools>" in chat.asked
    assert chat.asked == Chat(open_with(HERMES), tools=[TOOL]).asked
    for options in ({}, {"tools": [TOOL], "tool_choice": "none"}):
        assert Chat(tokenizer, **options).asked == Chat(open_with(CHATML)).asked
    # Command R's wants calls in a way that is not known here.
    tokenizer = Tokenizer(replace(plain, named_templates={"tool_use": "{{ tools }} Action:"}))
    told = Chat(open_with(CHATML), tools=[TOOL]).asked
    assert Chat(tokenizer, tools=[TOOL]).asked == told and "not known here" in caplog.text


def test_a_system_message_is_kept(open_with: Callable[[str], Tokenizer]) -> None:
    system = {"role": "system", "content": "Be brief."}
    chat = Chat(open_with(PHI4), tools=[TOOL], messages=[system, *USER])
    assert "Be brief.<|tool|>[{" in chat.asked and chat.asked.count("<|tool|>") == 1
    chat = Chat(open_with(PHI4), tools=[TOOL], tool_choice="none")
    assert "<|tool|>" not in chat.asked


def test_places() -> None:
    assert place_of("", frozenset({"tools", "xml_tools"})) == "tools"
    assert place_of("", frozenset({"xml_tools"})) == "xml_tools"
    for source in ("{{ message['tools'] }}", '{{ message["tools"] }}', "{{ message.tools }}"):
        assert place_of(source, frozenset({"messages"})) == "system"
    assert place_of("{{ message.tool_calls }}", frozenset()) == place_of(CHATML, frozenset()) == ""
    assert place_of(DEEPSEEK, frozenset()) == place_of(DEEPSEEK_V3, frozenset()) == "told"


def test_calls_of_glm_4_have_messages_of_their_own(open_with: Callable[[str], Tokenizer]) -> None:
    tokenizer = open_with(GLM4)
    written = 'weather\n{"city": "Rome"}'
    done = Chat(tokenizer, tools=[TOOL]).says(f"{written}<|assistant|>{written}")
    assert calls(done) == [("weather", {"city": "Rome"})] * 2
    result = {"role": "tool", "tool_call_id": done.tool_calls[0].id, "content": "rain"}
    again = Chat(tokenizer, tools=[TOOL], messages=[*USER, done.message, result])
    assert f"<|assistant|>{written}<|assistant|>{written}<|observation|>\nrain" in again.asked
    assert again.says("\nIt rains.").text.strip() == "It rains."


def test_a_template_that_takes_arguments_as_texts(open_with: Callable[[str], Tokenizer]) -> None:
    source = DEEPSEEK.replace(
        "c.function.arguments | tojson", "c['function']['arguments'] + '!'"
    )  # fmt: skip
    call = {"type": "function", "function": {"name": "f", "arguments": {"a": "Zürich"}}}
    answer = {"role": "assistant", "content": None, "tool_calls": [call]}
    chat = Chat(open_with(source), messages=[*USER, answer])
    assert 'f<｜tool▁sep｜>{"a": "Zürich"}!' in chat.asked


@pytest.mark.parametrize("template", [DEEPSEEK, DEEPSEEK_V3])
def test_a_template_that_only_writes_calls(
    template: str, open_with: Callable[[str], Tokenizer]
) -> None:
    """The system message tells of the functions, with tokens where the words are our own."""
    tokenizer = open_with(template)
    described = {**TOOL["function"], "description": "<｜tool▁sep｜> it"}
    tool = {"type": "function", "function": described}
    system = {"role": "system", "content": "Be brief."}
    chat = Chat(tokenizer, tools=[tool], messages=[system, *USER])
    assert "Be brief.\n\n## Tools" in chat.asked and "weather" in chat.asked
    sep, n = tokenizer.id_of("<｜tool▁sep｜>"), chat.asked.count("<｜tool▁sep｜>")
    assert chat.prompt.tokens.count(sep) == n - 1 > 0
    call = '{"city": "Rome"}'
    call = (f"function<｜tool▁sep｜>weather\n```json\n{call}\n```" if template == DEEPSEEK_V3
            else f"weather<｜tool▁sep｜>{call}")  # fmt: skip
    written = (
        f"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>{call}<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
    )
    done = chat.says(written)
    assert calls(done) == [("weather", {"city": "Rome"})] and done.text == ""
    for options in ({"tools": [tool]}, {}):
        again = Chat(tokenizer, messages=[*USER, done.message], **options)
        assert f"assistant\n{written}<|im_end|>" in again.asked
        assert ("## Tools" in again.asked) == bool(options)
