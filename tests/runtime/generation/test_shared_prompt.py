"""A beginning that requests share is computed once, and nobody's answer depends on it."""

from __future__ import annotations

from typing import Any

import pytest
from scripted import Caller, ScriptedEngine, ScriptedSequence, batch_of, request_of

import halfbyte
from halfbyte.errors import EngineError
from halfbyte.generation.prompt_memory import PromptMemory
from halfbyte.generation.running_batch import MAX_RUNNING, RunningBatch
from halfbyte.generation.shared_prompt import SharedPrompt
from halfbyte.generation.text_request import TextRequest


def siblings(n: int, n_prompt: int, **params: Any) -> list[TextRequest]:
    requests = [request_of([0] * n_prompt, **params) for _ in range(n)]
    Caller(*requests)
    SharedPrompt(n_prompt - 1, requests)
    return requests


def run(batch: RunningBatch, requests: list[TextRequest]) -> None:
    for request in requests:
        batch.add(request)
    while not batch.is_idle:
        batch.step()


def test_the_first_computes_it_and_the_others_fork() -> None:
    engine = ScriptedEngine("ab")
    requests = siblings(3, 300)
    run(batch_of(engine), requests)
    assert [r.text for r in requests] == ["ab"] * 3
    assert engine.steps == [[256], [44], [1, 1, 1], [1, 1, 1], [1, 1]]
    assert [r.n_reused for r in requests] == [None, 299, 299]
    assert requests[0].shared is not None and requests[0].shared.sequence is None


@pytest.mark.parametrize("max_tokens", [1, 2])
def test_the_first_may_be_over_before_the_others_begin(max_tokens: int) -> None:
    engine = ScriptedEngine("ab")
    requests = siblings(MAX_RUNNING + 6, 20, max_tokens=max_tokens)
    run(batch_of(engine), requests)
    assert [r.text for r in requests] == ["ab"[:max_tokens]] * (MAX_RUNNING + 6)
    assert sum(map(sum, engine.steps)) == 20 + len(requests) * max_tokens - 1
    assert requests[0].shared is not None and requests[0].shared.sequence is None


def test_in_line_the_prompt_counts_once() -> None:
    batch, requests = batch_of(ScriptedEngine("ab")), siblings(4, 20)
    for request in requests:
        batch.add(request)
    assert requests[0].call.tag == 20
    batch.step()
    assert requests[0].call.tag == 20 + 3


def test_without_memory_for_a_fork_each_computes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def fork(self: ScriptedSequence, n: int) -> ScriptedSequence:
        raise EngineError("no memory")

    monkeypatch.setattr(ScriptedSequence, "fork", fork)
    engine, requests = ScriptedEngine("a"), siblings(2, 20)
    run(batch_of(engine), requests)
    assert [r.text for r in requests] == ["a", "a"]
    assert engine.steps == [[20], [1, 20], [1]]


def test_where_memory_is_short_the_beginning_is_given_up() -> None:
    engine, requests = ScriptedEngine("ab"), siblings(3, 20)
    batch = batch_of(engine)
    for request in requests:
        batch.add(request)
    batch.step()
    assert requests[0].shared is not None and requests[0].shared.sequence is not None
    assert not batch._memory.find_pages(EngineError("none are left"))  # scripts hold no pages
    assert requests[0].shared.sequence is None
    while not batch.is_idle:
        batch.step()
    assert [r.text for r in requests] == ["ab"] * 3 and engine.steps[1] == [1, 20, 20]


@pytest.mark.parametrize("n_steps", [0, 1, 2])
def test_of_a_call_that_is_given_up_nobody_is_left(n_steps: int) -> None:
    batch, requests = batch_of(ScriptedEngine("ab")), siblings(3, 300)
    for request in requests:
        batch.add(request)
    for _ in range(n_steps):
        batch.step()
    for request in requests:
        request.is_cancelled = True
    batch.give_up()
    batch.step()
    assert batch.is_idle and all(request.is_over for request in requests)


def test_another_goes_on_where_the_first_is_given_up_alone() -> None:
    engine, requests = ScriptedEngine("ab"), siblings(3, 300)
    batch = batch_of(engine)
    for request in requests:
        batch.add(request)
    batch.step()
    requests[0].is_cancelled = True
    batch.give_up()
    while not batch.is_idle:
        batch.step()
    assert [r.text for r in requests] == ["", "ab", "ab"]
    assert engine.steps[:4] == [[256], [256], [44], [1, 1]]


def test_an_end_of_all_reaches_those_who_wait() -> None:
    batch, requests = batch_of(ScriptedEngine("ab")), siblings(3, 300)
    for request in requests:
        batch.add(request)
    batch.step()
    batch.fail(EngineError("closed"))
    assert batch.is_idle and all(isinstance(r.error, EngineError) for r in requests)
    assert all(request.is_over for request in requests)


PROMPT = "import numpy as np\n\ndef add(a, b):\n    ret"
DRAWN: dict[str, Any] = {
    "n": 4, "temperature": 1.0, "seed": 7, "max_tokens": 5, "logprobs": 2, "prompt_logprobs": 1,
}  # fmt: skip


def planned(model: halfbyte.Model, **options: Any) -> list[TextRequest]:
    requests: Any = model._planner.completion(PROMPT, **{**DRAWN, **options}).requests
    Caller(*requests)
    return list(requests)


def told(answers: Any) -> Any:
    return [(a.tokens, a.text, a.logprobs, a.prompt_logprobs) for a in answers]


@pytest.fixture(scope="module")
def wanted(infill_model: halfbyte.Model) -> Any:
    return told(infill_model.complete(PROMPT, **DRAWN))


@pytest.mark.parametrize("n_steps", [1, 2, 3, 5])
def test_who_was_preempted_says_the_same(
    infill_model: halfbyte.Model, wanted: Any, n_steps: int
) -> None:
    requests = planned(infill_model)
    batch = RunningBatch(infill_model.engine, PromptMemory(infill_model.engine))
    for request in requests:
        batch.add(request)
    for _ in range(n_steps):
        batch.step()
    for request in list(batch._running):
        batch._preempt(request)
    run(batch, [])
    assert told(request.result() for request in requests) == wanted


@pytest.mark.parametrize("n_pages", [1, 2, 3])
def test_with_little_memory_they_take_turns(
    infill_model: halfbyte.Model, wanted: Any, n_pages: int
) -> None:
    engine = infill_model.engine
    pages, before = engine.pages, engine.pages.max_nbytes
    requests = planned(infill_model, heal=False, n=4)
    free = told(infill_model.complete(PROMPT, **{**DRAWN, "heal": False}))
    pages.max_nbytes = pages.nbytes + n_pages * engine.layout.page_nbytes
    try:
        run(RunningBatch(engine, PromptMemory(engine)), requests)
    finally:
        pages.max_nbytes = before
    assert told(request.result() for request in requests) == free
