"""Calls of tools are well-formed, whatever the model would say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from played_chat import (
    CHATML,
    HERMES,
    LLAMA,
    MISTRAL,
    NAMED,
    R1,
    ROME,
    THINKS,
    TOOLS,
    Chat,
    calls,
    is_trip,
)

from halfbyte.models import catalogue
from halfbyte.tokenizer import Tokenizer


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
