"""A draft model is asked where that pays, as far as it pays, and gives way to everything else."""

from __future__ import annotations

import logging
from collections.abc import Callable
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from scripted import Caller, ScriptedEngine, request_of

from halfbyte.errors import EngineError
from halfbyte.generation.prompt_memory import PromptMemory
from halfbyte.generation.request import Request
from halfbyte.generation.running_batch import RunningBatch
from halfbyte.generation.speculation.draft_model import DraftModel
from halfbyte.generation.speculation.drafter import Drafter

TEXT = "".join(Random(5).choices("abcdefghijklmnopqrstuvwxyz", k=200))  # nothing is said again
LONG = "".join(Random(7).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=900))
WRONG = "".join(Random(6).choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=900))
COSTS = {1: 0.010, 300: 0.013}
DRAFT_COSTS = {1: 0.001, 300: 0.301}


class Engine(ScriptedEngine):
    """One that has weights and a vocabulary."""

    nbytes_per_token = 1000
    config = SimpleNamespace(vocab_size=128, name="scripted")


def batch_with(
    engine: Engine,
    draft: Engine,
    costs: dict[int, float] = COSTS,
    draft_costs: dict[int, float] = DRAFT_COSTS,
) -> RunningBatch:
    """A batch whose steps cost what is said, whatever is measured."""
    model = DraftModel(draft, engine)  # type: ignore[arg-type]
    batch = RunningBatch(engine, PromptMemory(engine), model)  # type: ignore[arg-type]
    for known, given in ((batch.speculation._costs, costs), (model.costs, draft_costs)):
        for n_rows, seconds in given.items():
            known.learn(n_rows, seconds)
        known.learn = lambda *_: None  # type: ignore[method-assign]
        known.learn_prompt = lambda *_: None  # type: ignore[method-assign]
    learn = model._learn
    model._learn = lambda n, _: learn(n, model.costs.seconds(n))  # type: ignore[method-assign]
    return batch


def run(batch: RunningBatch, *requests: Request) -> None:
    for request in requests:
        batch.add(request)
    while not batch.is_idle:
        batch.step()


def seconds(steps: list[list[int]], costs: dict[int, float]) -> float:
    (_, first), (many, last) = sorted(costs.items())
    return sum(first + (last - first) * (sum(step) - 1) / (many - 1) for step in steps)


def asking(prompt: list[int], **more: Any) -> Any:
    return request_of(prompt, drafter=Drafter(), **{"max_tokens": 300, **more})


def test_a_model_that_guesses_right_spares_steps() -> None:
    engine, draft = Engine(TEXT), Engine(TEXT)
    request = asking([0] * 3)
    run(batch_with(engine, draft), request)
    assert request.text == TEXT and request.n_accepted > 150
    assert len(engine.steps) < 40
    total = seconds(engine.steps, COSTS) + seconds(draft.steps, DRAFT_COSTS)
    assert total < 0.4 * 0.010 * len(TEXT)
    assert sum(map(sum, draft.steps)) < len(TEXT) + 20  # nothing that was right is computed twice


def test_what_it_has_computed_of_wrong_guesses_is_forgotten() -> None:
    half = [TEXT[:i] + "!" + TEXT[i + 1 :] for i in (9, 17, 40)]
    for said in half:
        engine, draft = Engine(TEXT), Engine(said)
        request = asking([0])
        run(batch_with(engine, draft), request)
        # The scripts count letters, so that a wrong one that stayed would shift all that follow.
        assert request.text == TEXT and request.n_accepted > 140


def test_a_model_that_is_wrong_costs_next_to_nothing() -> None:
    engine, draft = Engine(LONG), Engine(WRONG)
    batch = batch_with(engine, draft)
    for _ in range(3):
        run(batch, asking([0], max_tokens=900))
    plain = 0.010 * 3 * len(LONG)
    total = seconds(engine.steps, COSTS) + seconds(draft.steps, DRAFT_COSTS)
    assert draft.steps and total < 1.012 * plain + 3 * 0.015


def test_what_estimates_promise_and_do_not_keep_is_given_up_for_all() -> None:
    texts = ["".join(Random(i).choices(LONG, k=20)) for i in range(30)]
    engine, draft = Engine(*texts), Engine(*[WRONG] * 30)
    batch = batch_with(engine, draft)
    sureness = batch.speculation._asking._model._sureness  # type: ignore[union-attr]
    sureness.learn = lambda *_: None  # type: ignore[method-assign]
    for i in range(30):  # each has a credit of its own
        run(batch, asking([i], max_tokens=20))
    plain = 0.010 * 30 * 20
    total = seconds(engine.steps, COSTS) + seconds(draft.steps, DRAFT_COSTS)
    assert draft.steps and total < plain + (1.5 + 4 + 1.5 + 0.01 * 600 + 1) * 0.010


def test_a_model_that_has_become_good_is_noticed() -> None:
    engine, draft = Engine(LONG, LONG), Engine(WRONG, LONG)
    batch = batch_with(engine, draft)
    run(batch, asking([0], max_tokens=900), asking([0], max_tokens=900))
    second = [asking([1], max_tokens=900) for _ in range(6)]
    for request in second:
        run(batch, request)
    assert second[-1].text == LONG and second[-1].n_accepted > 500


def test_a_model_as_slow_as_the_other_is_not_asked() -> None:
    engine, draft = Engine(TEXT), Engine(TEXT)
    request = asking([0])
    run(batch_with(engine, draft, draft_costs={1: 0.0099, 300: 0.3}), request)
    assert request.text == TEXT and len(draft.steps) <= 6  # what it spares pays for it, just
    total = seconds(engine.steps, COSTS) + 0.010 * len(draft.steps)
    assert total < 1.02 * 0.010 * len(TEXT)


def test_a_long_prompt_is_read_once_that_has_paid() -> None:
    engine, draft = Engine(LONG, n_ctx=4000), Engine(LONG, n_ctx=4000)
    batch = batch_with(engine, draft)
    short, long = (asking([0] * 3000, n_ctx=4000, max_tokens=n) for n in (20, 900))
    run(batch, short)
    assert not draft.steps  # three seconds for a fifth of one
    run(batch, long)
    assert long.text == LONG and long.n_accepted > 100
    assert max(map(sum, draft.steps)) <= 256


def test_requests_are_guessed_for_together() -> None:
    texts = ["".join(Random(i).choices("abcdefghijklm", k=100)) for i in range(4)]
    engine, draft = Engine(*texts), Engine(*texts)
    requests = [asking([i]) for i in range(4)]
    Caller(*requests)
    run(batch_with(engine, draft), *requests)
    assert [r.text for r in requests] == texts
    assert len(engine.steps) < 50 and [1, 1, 1, 1] in draft.steps


def test_beside_others_a_step_with_its_guesses_stays_short() -> None:
    engine, draft = Engine(TEXT, TEXT), Engine(TEXT, TEXT)
    costs, draft_costs = {1: 0.010, 300: 0.310}, {1: 0.008, 300: 0.010}
    batch = batch_with(engine, draft, costs, draft_costs)
    batch._pace.learn(1, 0, 0.010)
    batch._pace.learn(1, 40, 0.050)
    batch._pace.learn = lambda *_: None  # type: ignore[method-assign]  # a script takes no time
    batch.speculation._asking.credit.n_steps = 12.0  # type: ignore[union-attr]
    requests = [asking([i]) for i in range(2)]
    for request in requests:
        batch.add(request)
    n_drafted = 0
    while not any(request.is_over for request in requests):
        before = len(draft.steps)
        batch.step()
        n_drafted += len(draft.steps) - before
        spent = seconds(draft.steps[before:], draft_costs) + seconds(engine.steps[-1:], costs)
        assert spent < 0.0515  # a row more is a millisecond
    run(batch)
    assert n_drafted and [r.text for r in requests] == [TEXT] * 2


@pytest.mark.parametrize("fault", [EngineError("no memory"), MemoryError()])
def test_where_it_fails_the_answer_goes_on_without(
    fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(step: int) -> None:
        if step > 4:
            raise fault

    engine, draft = Engine(TEXT), Engine(TEXT, before=fail)
    request = asking([0])
    with caplog.at_level(logging.WARNING):
        run(batch_with(engine, draft), request)
    assert request.text == TEXT and request.error is None
    assert len(draft.steps) == 5 and caplog.text.count("without the draft model") == 1


def test_logits_that_are_no_numbers_are_such_a_failure() -> None:
    engine, draft = Engine(TEXT), Engine(TEXT)
    row = draft._row
    draft._row = lambda tokens: row(tokens) * float("nan")  # type: ignore[method-assign]
    request = asking([0])
    run(batch_with(engine, draft), request)
    assert request.text == TEXT and len(draft.steps) == 1


@pytest.mark.parametrize("at", [1, 2, 5])
def test_a_caller_who_leaves_ends_its_step(at: int) -> None:
    batch: RunningBatch

    def leave(step: int) -> None:
        if step == at:
            request.is_cancelled = True
            batch.give_up()

    engine, draft = Engine(TEXT, "xyz"), Engine(TEXT, "xyz", before=leave)
    request = asking([0])
    batch = batch_with(engine, draft)
    run(batch, request)
    assert len(draft.steps) == at and len(request.text) < len(TEXT)
    assert TEXT.startswith(request.text)
    other = asking([1])
    run(batch, other)
    assert other.text == "xyz"


def test_ids_that_it_does_not_know_are_not_shown_to_it() -> None:
    engine, draft = Engine(TEXT), Engine(TEXT)
    request = asking([0, 20])
    draft.config = SimpleNamespace(vocab_size=20, name="small")
    run(batch_with(engine, draft), request)
    assert request.text == TEXT and not draft.steps
    draft.config = SimpleNamespace(vocab_size=121, name="small")
    request = asking([0])  # until the answer has one
    run(batch_with(engine, draft), request)
    assert request.text == TEXT and draft.steps


def test_its_context_may_be_shorter() -> None:
    engine, draft = Engine(TEXT), Engine(TEXT, n_ctx=50)
    longest = 0
    forward: Callable[..., Any] = draft.forward

    def watched(spans: Any, abort: Any = None) -> Any:
        nonlocal longest
        longest = max(longest, *(s.sequence.n_past + len(s.tokens) for s in spans))
        return forward(spans, abort)

    draft.forward = watched  # type: ignore[method-assign]
    request = asking([0])
    run(batch_with(engine, draft), request)
    assert request.text == TEXT and 40 < longest <= 50


def test_memory_that_it_holds_is_given_back_first() -> None:
    engine, draft = Engine(TEXT, TEXT), Engine(TEXT, TEXT)
    batch = batch_with(engine, draft)
    request = asking([0])
    batch.add(request)
    for _ in range(4):
        batch.step()
    model = batch.speculation._asking._model  # type: ignore[union-attr]
    assert model._shadows
    assert request.sequence is not None
    reserve, n_short = request.sequence.reserve, 1

    def short(n: int, n_guessed: int = 0) -> None:
        nonlocal n_short
        n_short -= 1
        if n_short >= 0:
            raise EngineError("no memory")
        reserve(n)

    request.sequence.reserve = short  # type: ignore[method-assign]
    batch.step()
    assert not model._shadows and request in batch._running
    run(batch)
    assert request.text == TEXT
