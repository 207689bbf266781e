"""Each method for asyncio gives what its twin does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import halfbyte

TEXT = "def add(a, b):\n    return a\n\n\nprint(add(1, 2))\n"
AT = TEXT.index("a\n\n") + 1
DRAWN: dict[str, Any] = {"max_tokens": 9, "temperature": 1.0, "seed": 5}
MESSAGES = [{"role": "user", "content": "Say a word."}]
CALLS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "complete": (("def f(",), DRAWN),
    "infill": ((TEXT[:AT], TEXT[AT:]), DRAWN),
    "chat": ((MESSAGES,), {**DRAWN, "format": "llama-2"}),
    "edit": (("sum.py", TEXT, AT), {"max_tokens": 9}),
}
SEVERAL = ["complete", "infill", "chat"]  # that take n=


def told(answer: Any) -> Any:
    """All that is not a matter of time."""
    if isinstance(answer, list):
        return [told(one) for one in answer]
    return answer.text, answer.tokens, answer.finish_reason


def streamed(name: str) -> str:
    return "stream" if name == "complete" else f"stream_{name}"


@pytest.mark.parametrize("name", CALLS)
def test_an_answer_is_the_twins(infill_model: halfbyte.Model, name: str) -> None:
    args, options = CALLS[name]
    expected = getattr(infill_model, name)(*args, **options)
    assert expected.tokens
    got = asyncio.run(getattr(infill_model, f"a{name}")(*args, **options))
    assert type(got) is type(expected) and told(got) == told(expected)


@pytest.mark.parametrize("name", CALLS)
def test_a_stream_is_the_twins(infill_model: halfbyte.Model, name: str) -> None:
    args, options = CALLS[name]
    twin = getattr(infill_model, streamed(name))(*args, **options)
    expected = "".join(twin)

    async def follow() -> tuple[str, Any]:
        stream = getattr(infill_model, f"a{streamed(name)}")(*args, **options)
        text = "".join([piece async for piece in stream])
        return text, stream.completion

    text, completion = asyncio.run(follow())
    assert text == expected and type(completion) is type(twin.completion)
    assert told(completion) == told(twin.completion)


@pytest.mark.parametrize("name", SEVERAL)
def test_several_answers_are_the_twins(infill_model: halfbyte.Model, name: str) -> None:
    args, options = CALLS[name]
    expected = getattr(infill_model, name)(*args, n=2, **options)

    async def follow() -> tuple[Any, dict[int, str], Any]:
        answers = await getattr(infill_model, f"a{name}")(*args, n=2, **options)
        stream = getattr(infill_model, f"a{streamed(name)}")(*args, n=2, **options)
        texts = {0: "", 1: ""}
        async for i, piece in stream:
            texts[i] += piece
        return answers, texts, stream.completions

    answers, texts, completions = asyncio.run(follow())
    assert told(answers) == told(completions) == told(expected)
    assert texts == {i: done.text for i, done in enumerate(expected)}
