"""Chats with tools and thoughts, from keywords to results; the model's words are played back."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from halfbyte import chat_rules
from halfbyte.chat_planning import ChatAsked
from halfbyte.constraints.constraint import Constraint
from halfbyte.constraints.grammar import Grammars
from halfbyte.errors import RequestError, TemplateError, ToolCallError
from halfbyte.generation.chat_completion import ChatCompletion, ToolCall
from halfbyte.generation.params import SamplingParams
from halfbyte.generation.text_request import TextRequest
from halfbyte.models import catalogue
from halfbyte.prompt.chat import ChatPrompt, chat_prompt
from halfbyte.tokenizer import Tokenizer

FOLDER = Path(__file__).parent / "prompt" / "template" / "templates"
SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>", "<tool_call>",
            "</tool_call>", "[TOOL_CALLS]", "[ARGS]", "</s>", "<|eot_id|>", "<|start_header_id|>",
            "<|end_header_id|>", "<|python_tag|>")  # fmt: skip
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
THINKS = CHATML + "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>"
THINKS += "\n\n{% endif %}"
R1 = CHATML + "{% if add_generation_prompt %}<think>\n{% endif %}{# </think> #}"
HERMES = (FOLDER / "qwen.jinja").read_text("utf-8")
MISTRAL = (FOLDER / "mistral.jinja").read_text("utf-8")
LLAMA = CHATML + '{{ tools }}<|start_header_id|>{# "parameters" #}'
NAMED = CHATML + "{{ tools }}{# [TOOL_CALLS] [ARGS] #}"
CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": CITY}}
USER = [{"role": "user", "content": "How is it in Rome?"}]
ROME = '{"name": "weather", "arguments": {"city": "Rome"}}'


@pytest.fixture(scope="module", params=[3, 4], ids=["control", "user-defined"])
def open_with(
    request: pytest.FixtureRequest, vocabularies: Any, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Tokenizer]:
    """A vocabulary whose marks are control tokens or visible ones, with this template."""
    made = vocabularies.train_byte_level("smollm", SPECIALS)
    folder = tmp_path_factory.mktemp("chats")

    @cache
    def open_with(template: str) -> Tokenizer:
        def fill(writer: Any) -> None:
            writer.add_eos_token_id(made.id_of("<|im_end|>"))
            writer.add_chat_template(template)

        path = made.write(folder / "m.gguf", special_type=request.param, fill=fill)
        return Tokenizer.from_path(path)

    return open_with


@pytest.fixture
def unenforced(monkeypatch: pytest.MonkeyPatch) -> None:
    """llguidance is not there."""

    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(chat_rules, "imported", missing)


class Chat:
    """A chat whose model says what it is told to, as far as the rules let it."""

    def __init__(self, tokenizer: Tokenizer, n_most: int = 500, **options: Any) -> None:
        self.tokenizer = tokenizer
        messages, form = options.pop("messages", USER), options.pop("format", "auto")
        shape = options.pop("shape", None)
        asked, rest = ChatAsked.split(options)
        assert not rest
        asked = replace(asked, shape=shape)
        self.prompt: ChatPrompt = chat_prompt(
            tokenizer, messages, tools=asked.tools, thinking=asked.thinking, format=form
        )
        params = SamplingParams(max_tokens=n_most)
        how = asked.request(tokenizer, Grammars(tokenizer), self.prompt, params.stop)
        self.request = TextRequest(tokenizer, self.prompt.tokens, params, 10_000, **how)

    @property
    def asked(self) -> str:
        return "".join(
            self.tokenizer.token_bytes(i).decode() or self.tokenizer.piece(i)
            for i in self.prompt.tokens
        )

    def says(self, text: str, *, spelled: bool = False) -> ChatCompletion:
        """The result; `spelled` without special tokens."""
        tokenizer = self.tokenizer
        ids = tokenizer.encode_fragment(text) if spelled else tokenizer.encode_rendered(text)
        ids = [*ids, *sorted(tokenizer.eog_ids)[:1]]
        while not self.request.finish_reason:
            row = np.zeros(tokenizer.n_vocab, np.float32)
            row[ids[0]] = 1.0
            token = self.request.sample(row)
            if token == ids[0]:
                del ids[0]
            self.request.accept(token)
        done: ChatCompletion = self.request.result()
        return done


def calls(done: ChatCompletion) -> list[tuple[str, Any]]:
    return [(call.name, call.arguments) for call in done.tool_calls]


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
    with pytest.raises(ToolCallError) as caught:
        Chat(open_with(HERMES), tools=[TOOL]).says(f"So: <tool_call>{call}</tool_call>")
    assert caught.value.text == call and caught.value.completion.text == "So:"
    assert caught.value.reason in str(caught.value)


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


TRIP = {
    "type": "object",
    "properties": {
        "city": {"enum": ["Rome", "Zürich"]},
        "days": {"type": "integer", "minimum": 1, "maximum": 30},
        "by": {"type": "array", "items": {"enum": ["bus", "train"]}, "maxItems": 2},
    },
    "required": ["city", "days"],
}
TOOLS = [TOOL, {"type": "function", "function": {"name": "trip", "parameters": TRIP}}]


def is_trip(arguments: Any) -> bool:
    by = arguments.get("by", [])
    return (
        arguments["city"] in TRIP["properties"]["city"]["enum"]  # type: ignore[index]
        and 1 <= arguments["days"] <= 30
        and len(by) <= 2 and set(by) <= {"bus", "train"}
        and set(arguments) <= {"city", "days", "by"}
    )  # fmt: skip


@pytest.mark.parametrize("template", [HERMES, CHATML, MISTRAL, NAMED, LLAMA, R1])
def test_calls_of_a_model_that_says_anything_are_well_formed(
    template: str, open_with: Callable[[str], Tokenizer]
) -> None:
    tokenizer = open_with(template)
    rng, n_called = np.random.default_rng(5), 0
    for _ in range(6):
        options = {"thinking": False, "reasoning_budget": 3}
        chat = Chat(tokenizer, tools=TOOLS, tool_choice="trip", **options)
        request = chat.request
        while not request.finish_reason:
            row = rng.normal(size=tokenizer.n_vocab).astype(np.float32)
            row[sorted(tokenizer.eog_ids)] += 5.0
            request.accept(request.sample(row))
        done = request.result()
        assert done.text == "" and (done.finish_reason == "tool_calls" or done.cut_call)
        assert all(call.name == "trip" and is_trip(call.arguments) for call in done.tool_calls)
        n_called += len(done.tool_calls)
    assert n_called > 3


@pytest.mark.parametrize(
    ("template", "answer"),
    [
        (HERMES, f"I look.\n<tool_call>\n{ROME}\n</tool_call>\n<tool_call>\n{ROME}\n</tool_call>"),
        (CHATML, f"I look.\n<tool_call>[\n{ROME},\n{ROME}\n]</tool_call>"),
        (MISTRAL, f"[TOOL_CALLS][{ROME}, {ROME}]"),
        (NAMED, '[TOOL_CALLS]weather[ARGS]{"city": "Rome"}' * 2),
        (LLAMA, '{"name": "weather", "parameters": {"city": "Rome"}}'),
        (LLAMA, '<|python_tag|>{"name": "weather", "parameters": {"city": "Rome"}}'),
        (THINKS, f"<think><tool_call>no</think><tool_call>[{ROME}]</tool_call>"),
        (R1, f"<tool_call>no</think>\n\n<tool_call>[{ROME}]</tool_call>"),
    ],
)
def test_what_models_write_is_what_the_grammar_wants(
    template: str, answer: str, open_with: Callable[[str], Tokenizer]
) -> None:
    chat = Chat(open_with(template), tools=TOOLS)
    done = chat.says(answer)
    n = 1 + ((ROME in answer.partition(ROME)[2]) or template == NAMED)
    assert calls(done) == [("weather", {"city": "Rome"})] * n
    assert done.text == ("I look." if "look" in answer else "")
    assert done.reasoning == ("<tool_call>no" if "think" in answer else "")


def test_text_after_a_call_is_free_and_an_empty_list_calls_nothing(
    open_with: Callable[[str], Tokenizer],
) -> None:
    tokenizer = open_with(CHATML)
    done = Chat(tokenizer, tools=TOOLS).says(f"<tool_call>[{ROME}]</tool_call> Wait {{ for it.")
    assert done.text == "Wait { for it." and len(done.tool_calls) == 1
    done = Chat(tokenizer, tools=TOOLS).says("<tool_call>[]</tool_call>")
    assert (done.text, done.tool_calls, done.finish_reason) == ("", (), "stop")


def test_a_mark_does_not_end_with_the_beginning_of_nonsense() -> None:
    """A token may hold the end of a mark and more; what the grammar has no place for is none."""
    tokenizer = Tokenizer.from_path(catalogue.resolve("infill-10m"))
    chat = Chat(tokenizer, tools=TOOLS, format="llama-2")
    for token in tokenizer.encode_fragment("<tool_call"):
        chat.request.accept(token)
    row = np.zeros(tokenizer.n_vocab, np.float32)
    chat.request._rules[-1].change(row)
    longer = [i for i in tokenizer.piece_index.beginning_with(b">").tolist()]
    texts = {tokenizer.token_bytes(i): bool(np.isfinite(row[i])) for i in longer}
    assert (
        len(texts) > 3
        and texts[b">"]
        and all(text in (b">", b">[") for text, is_free in texts.items() if is_free)
    )


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


SHAPE = Constraint("json_schema", '{"type":"object","properties":{"a":{"type":"integer"}},'
                   '"required":["a"],"additionalProperties":false}')  # fmt: skip


@pytest.mark.parametrize(
    ("template", "answer"),
    [
        (HERMES, f"<tool_call>\n{ROME}\n</tool_call>\n<tool_call>\n{ROME}\n</tool_call>"),
        (CHATML, f"<tool_call>[\n{ROME},\n{ROME}\n]</tool_call>"),
        (MISTRAL, f"[TOOL_CALLS][{ROME}, {ROME}]"),
        (NAMED, '[TOOL_CALLS]weather[ARGS]{"city": "Rome"}' * 2),
    ],
)
def test_an_answer_of_a_shape_may_be_calls_instead(
    template: str, answer: str, open_with: Callable[[str], Tokenizer]
) -> None:
    tokenizer = open_with(template)
    how: dict[str, Any] = {"tools": [TOOL], "shape": SHAPE}
    done = Chat(tokenizer, **how).says(answer)
    assert calls(done) == [("weather", {"city": "Rome"})] * 2
    assert (done.text, done.finish_reason, done.is_complete) == ("", "tool_calls", None)
    done = Chat(tokenizer, **how, parallel_tool_calls=False).says(answer)
    assert calls(done) == [("weather", {"city": "Rome"})]
    done = Chat(tokenizer, **how).says('{"a":12}')
    assert (done.text, done.tool_calls, done.is_complete) == ('{"a":12}', (), True)
    done = Chat(tokenizer, n_most=5, **how).says('{"a":1234567890}')
    assert done.text.startswith('{"a":') and done.is_complete is False
    done = Chat(tokenizer, n_most=40, **how).says("I do not know.")
    assert (done.text + '{"a":').startswith('{"a":') or done.tool_calls or done.cut_call


@pytest.mark.parametrize("tools", [None, [TOOL]])
@pytest.mark.parametrize(("template", "begin"), [(R1, ""), (THINKS, "<think>")])
def test_what_follows_thoughts_has_its_shape(
    template: str, begin: str, tools: Any, open_with: Callable[[str], Tokenizer]
) -> None:
    tokenizer = open_with(template)
    how: dict[str, Any] = {"tools": tools, "shape": SHAPE, "thinking": True}
    done = Chat(tokenizer, **how).says(f'{begin}hm {{}}\n</think>{{"a":1}}')
    assert (done.reasoning, done.text, done.is_complete) == ("hm {}", '{"a":1}', True)
    assert done.finish_reason == "stop"
    done = Chat(tokenizer, **how, reasoning_budget=2, reasoning_closing="").says(
        f"{begin}one two three four"
    )
    assert done.reasoning and not done.text.startswith("three")
    if begin:
        assert Chat(tokenizer, **how).says('{"a":1}').text == '{"a":1}'


def test_calls_that_have_to_come_or_have_no_mark_go_with_no_shape(
    open_with: Callable[[str], Tokenizer],
) -> None:
    for template, choice in ((HERMES, "required"), (LLAMA, "auto")):
        with pytest.raises(RequestError, match="nothing beside tools") as caught:
            Chat(open_with(template), tools=[TOOL], tool_choice=choice, shape=SHAPE)
        assert caught.value.param == "json_schema"
