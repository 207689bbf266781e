"""Calls of tools are well-formed, whatever the model would say."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from played_chat import (
    APERTUS,
    CHATML,
    COMMAND,
    DEEPSEEK,
    DEEPSEEK_V3,
    EXAONE4,
    HERMES,
    LLAMA,
    MISTRAL,
    NAMED,
    OLMO3,
    R1,
    ROME,
    THINKS,
    TOOLS,
    Chat,
    calls,
    is_trip,
    trips,
)

from halfbyte.constraints.constraint import Constraint
from halfbyte.constraints.grammar import Grammars
from halfbyte.generation.rules.tool_calls import ToolCalls
from halfbyte.models import catalogue
from halfbyte.prompt.tools.call_format import CallFormat
from halfbyte.prompt.tools.call_grammar import quoted
from halfbyte.prompt.tools.harmony import Harmony
from halfbyte.prompt.tools.llama3 import Llama3
from halfbyte.tokenizer import Tokenizer

NUMBERED = '{"tool_call_id": "0", "tool_name": "weather", "parameters": {"city": "Rome"}}'
CALL, FENCED = (
    f"<｜tool▁call▁begin｜>{text}<｜tool▁call▁end｜>"
    for text in ('weather<｜tool▁sep｜>{"city": "Rome"}',
                 'function<｜tool▁sep｜>weather\n```json\n{"city": "Rome"}\n```')
)  # fmt: skip


@pytest.mark.parametrize(
    "template",
    [
        HERMES,
        CHATML,
        MISTRAL,
        NAMED,
        LLAMA,
        R1,
        APERTUS,
        DEEPSEEK,
        DEEPSEEK_V3,
        COMMAND,
        EXAONE4,
        OLMO3,
    ],
)
def test_calls_of_a_model_that_says_anything_are_well_formed(
    template: str, open_with: Callable[[str], Tokenizer]
) -> None:
    assert list(trips(open_with(template), 6, thinking=False, reasoning_budget=3))


@pytest.mark.parametrize(
    ("template", "answer"),
    [
        (HERMES, f"I look.\n<tool_call>\n{ROME}\n</tool_call>\n<tool_call>\n{ROME}\n</tool_call>"),
        (CHATML, f"I look.\n<tool_call>[\n{ROME},\n{ROME}\n]</tool_call>"),
        (MISTRAL, f"[TOOL_CALLS][{ROME}, {ROME}]"),
        (NAMED, '[TOOL_CALLS]weather[ARGS]{"city": "Rome"}' * 2),
        (NAMED, '[TOOL_CALLS]weather[CALL_ID]abcdefghi[ARGS]{"city": "Rome"}' * 2),
        (MISTRAL, f'[TOOL_CALLS][{ROME[:-1]}, "id": "abcdefghi"}}]'),
        (LLAMA, '{"name": "weather", "parameters": {"city": "Rome"}}'),
        (LLAMA, '<|python_tag|>{"name": "weather", "parameters": {"city": "Rome"}}'),
        (THINKS, f"<think><tool_call>no</think><tool_call>[{ROME}]</tool_call>"),
        (R1, f"<tool_call>no</think>\n\n<tool_call>[{ROME}]</tool_call>"),
        (APERTUS, 'I look.<|tools_prefix|>[{"weather": {"city": "Rome"}}]<|tools_suffix|>'),
        (DEEPSEEK, f"I look.<｜tool▁calls▁begin｜>{CALL}<｜tool▁calls▁end｜>"),
        (DEEPSEEK_V3, f"<｜tool▁calls▁begin｜>{FENCED}<｜tool▁calls▁end｜>"),
        (COMMAND, f"I look.<|START_ACTION|>[\n    {NUMBERED}\n]<|END_ACTION|>"),
        (EXAONE4, f"I look.\n<tool_call>{ROME}</tool_call>\n<tool_call>{ROME}</tool_call>"),
        (OLMO3, 'I look. <function_calls>weather(city="Rome")</function_calls>'),
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


def test_a_call_within_a_thought_ends_it(open_with: Callable[[str], Tokenizer]) -> None:
    """As Apertus' template has it; nothing follows its calls."""
    answer = 'Hm.<|tools_prefix|>[{"weather": {"city": "Rome"}}]<|tools_suffix|>'
    for options in ({}, {"tool_choice": "required"}):
        chat = Chat(open_with(APERTUS), tools=TOOLS, **options)
        done = chat.says(f"<|inner_prefix|>{answer} and more")
        assert (calls(done), done.reasoning, done.text) == ([("weather", {"city": "Rome"})],
                                                            "Hm.", "")  # fmt: skip
    free = Chat(open_with(APERTUS)).says(f"<|inner_prefix|>{answer}<|inner_suffix|>Yes.")
    assert '{"city": "Rome"}' in free.reasoning and (free.tool_calls, free.text) == ((), "Yes.")


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


ODD = (
    '{ "name" : "weather",\n  "parameters" : { "city": "Rome" }\n}',
    '{"type": "function", "name": "weather", "parameters": {"city": "Rome"}}',
    '\n{"type":"function","function":{"name":"weather","arguments":{"city":"Rome"}}}',
    '{\n "function": {"name": "weather", "parameters": {"city": "Rome"}}}',
)


@pytest.mark.parametrize("answer", ODD)
def test_a_call_in_other_blanks_is_followed(
    answer: str, open_with: Callable[[str], Tokenizer]
) -> None:
    chat = Chat(open_with(LLAMA), tools=TOOLS)
    done = chat.says(answer)
    assert calls(done) == [("weather", {"city": "Rome"})] and done.text == ""
    assert done.tool_error is None and done.finish_reason == "tool_calls"


@pytest.mark.parametrize("begun", ['{"name"', '{ "type" ', '{"function"', '{\n  "name" '])
def test_a_call_that_begins_in_any_way_is_well_formed(
    begun: str, open_with: Callable[[str], Tokenizer]
) -> None:
    """Whatever tokens the model wants once it has begun, and whatever the first of them hold."""
    tokenizer, n_called = open_with(LLAMA), 0
    rng = np.random.default_rng(7)
    colons = [i for _, i in tokenizer.piece_index.containing(b":")]
    for _ in range(4):
        request = Chat(tokenizer, tools=TOOLS, tool_choice="auto").request
        for token in tokenizer.encode_fragment(begun):
            request.accept(token)
        while not request.finish_reason:
            row = rng.normal(size=tokenizer.n_vocab).astype(np.float32)
            row[sorted(tokenizer.eog_ids)] += 5.0
            if request._rules[-1]._grammar is None:  # type: ignore[attr-defined]
                row[colons] += 9.0  # what completes the first key
            request.accept(request.sample(row))
        done = request.result()
        assert done.tool_error is None
        if done.tool_calls or done.cut_call:
            n_called += len(done.tool_calls)
            assert done.text == ""
            for call in done.tool_calls:
                assert call.name in ("trip", "weather")
                assert call.name == "weather" or is_trip(call.arguments)
    assert n_called


def test_an_object_that_is_no_call_is_an_answer(open_with: Callable[[str], Tokenizer]) -> None:
    text = '{"names": [1, 2]}'
    done = Chat(open_with(LLAMA), tools=TOOLS).says(text)
    assert (done.text, done.tool_calls, done.finish_reason) == (text, (), "stop")


@pytest.mark.parametrize(
    ("form", "begun", "mark", "wanted"),
    [
        (Llama3(), '{"name"', ":", r':\s*"?'),
        (Harmony(), " to=functions", ".", r"\.(w|we|weather|t|tr|trip)?"),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_what_is_no_call_does_not_begin_as_one(
    form: CallFormat, begun: str, mark: str, wanted: str
) -> None:
    """A token may hold the colon and more; what no grammar of calls has a place for is none."""
    tokenizer = Tokenizer.from_path(catalogue.resolve("infill-10m"))
    functions = {tool["function"]["name"]: tool["function"] for tool in TOOLS}  # type: ignore[index]
    made = [
        Grammars(tokenizer).compiled(Constraint("grammar", source)).matcher
        for source in (form.grammar(functions, quoted), form.free_grammar(functions, quoted))
    ]
    rule = ToolCalls(tokenizer, tokenizer.token_bytes, form, *made, {2})
    for token in tokenizer.encode_fragment(begun):
        rule.accept(token)
    row = np.zeros(tokenizer.n_vocab, np.float32)
    rule.change(row)
    pieces = tokenizer.piece_index.beginning_with(mark.encode()).tolist()
    allowed = {tokenizer.token_bytes(i).decode() for i in pieces if np.isfinite(row[i])}
    assert {mark} <= allowed and all(re.fullmatch(wanted, piece) for piece in allowed)
    assert len(allowed) < len(pieces)
