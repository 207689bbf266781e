"""Several answers piece by piece are those that come in one go."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import halfbyte

PROMPT = "def add(a, b):\n    ret"
DRAWN: dict[str, Any] = {"n": 3, "temperature": 1.0, "max_tokens": 6, "seed": 7, "logprobs": 0}


def told(answers: Any) -> Any:
    return [(a.text, a.tokens, a.logprobs) for a in answers]


@pytest.fixture(scope="module")
def wanted(infill_model: halfbyte.Model) -> Any:
    return told(infill_model.complete(PROMPT, **DRAWN))


def test_the_pieces_of_each_make_its_text(infill_model: halfbyte.Model, wanted: Any) -> None:
    texts = [""] * 3
    with infill_model.stream(PROMPT, **DRAWN) as stream:
        for index, piece in stream:
            assert piece and (stream.completions is None)
            texts[index] += piece
            logprobs = stream.logprobs[index]
            assert logprobs is not None and wanted[index][2][: len(logprobs)] == logprobs
    assert texts == [text for text, _, _ in wanted]
    assert stream.completions is not None and told(stream.completions) == wanted
    assert told(stream.result()) == wanted and stream.logprobs == [logs for _, _, logs in wanted]


def test_tasks_get_them_too(infill_model: halfbyte.Model, wanted: Any) -> None:
    async def gather() -> tuple[list[str], Any]:
        texts, stream = [""] * 3, infill_model.astream(PROMPT, **DRAWN)
        assert stream.completions is None and stream.logprobs is None
        index, piece = await anext(stream)
        texts[index] += piece
        async for index, piece in stream:
            texts[index] += piece
        return texts, stream.completions

    texts, completions = asyncio.run(gather())
    assert texts == [text for text, _, _ in wanted] and told(completions) == wanted

    async def given_up() -> None:
        stream = infill_model.astream(PROMPT, **DRAWN)
        await anext(stream)
        await stream.aclose()
        with pytest.raises(halfbyte.EngineError, match="closed before"):
            await stream.result()

    asyncio.run(given_up())


def test_one_answer_is_numbered_too(infill_model: halfbyte.Model) -> None:
    with infill_model.stream(PROMPT, **{**DRAWN, "n": 1}) as stream:
        assert {index for index, _ in stream} == {0}


def test_middles(infill_model: halfbyte.Model) -> None:
    found = infill_model.stream_infill("import nu", "\nx = 1\n", **DRAWN).result()
    assert told(found) == told(infill_model.infill("import nu", "\nx = 1\n", **DRAWN))
    assert isinstance(found[0], halfbyte.Infilling)


def test_leaving_gives_all_up(infill_model: halfbyte.Model) -> None:
    stream = infill_model.stream(PROMPT, **{**DRAWN, "max_tokens": 300})
    for _ in stream:
        break
    with pytest.raises(halfbyte.EngineError, match="closed before"):
        stream.result()
    late = infill_model.stream(PROMPT, **{**DRAWN, "max_tokens": 400}, timeout=0.05)
    with pytest.raises(halfbyte.RequestTimeoutError) as caught:
        late.result()
    assert len(caught.value.completion) == 3
    assert infill_model.complete("x", max_tokens=1).tokens


def test_several_prompts_are_numbered_on(infill_model: halfbyte.Model) -> None:
    prompts = [PROMPT, "import os\n"]
    flat = [one for group in infill_model.complete(prompts, **DRAWN) for one in group]
    texts = [""] * 6
    with infill_model.stream(prompts, **DRAWN) as stream:
        for index, piece in stream:
            texts[index] += piece
    assert stream.completions is not None and told(stream.completions) == told(flat)
    assert texts == [one.text for one in flat]
    with pytest.raises(halfbyte.RequestError, match="n=1 streams those of several"):
        infill_model.stream(prompts)  # type: ignore[call-overload]
