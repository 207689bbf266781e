"""What shares a step, what does not, and that nobody's answer depends on it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import small_models
from comings_and_goings import check_bits
from many_kinds import makers
from scripted import (
    Caller,
    Letters,
    ScriptedEngine,
    batch_of,
    begin,
    request_of,
    run,
)

from halfbyte.engine import kv_cache
from halfbyte.errors import EngineError
from halfbyte.generation import disk_reading
from halfbyte.generation.params import SamplingParams
from halfbyte.generation.request import Request
from halfbyte.generation.running_batch import MAX_RUNNING, RunningBatch
from halfbyte.generation.slices import SLICE
from halfbyte.generation.step import Step
from halfbyte.generation.text_request import TextRequest
from halfbyte.kernels.pool import Pool


def test_a_prompt_alone_gets_full_steps() -> None:
    engine = ScriptedEngine("ab")
    batch = batch_of(engine)
    begin(batch, request_of([0] * 600))
    run(batch)
    assert engine.steps == [[256], [256], [88], [1], [1]]


def test_prompts_share_steps_and_answers_are_in_every_one() -> None:
    engine = ScriptedEngine("ab", "cdef", "")
    batch = batch_of(engine)
    requests = [request_of([0] * 300), request_of([1]), request_of([2])]
    Caller(*requests)
    begin(batch, *requests)
    run(batch)
    assert [r.text for r in requests] == ["ab", "cdef", ""]
    # One caller's: the steps are as full as they can be.
    assert engine.steps == [[256], [44, 1, 1], [1, 1], [1, 1], [1], [1]]


def test_callers_look_when_all_of_a_step_is_dealt_out() -> None:
    """To wake a loop lets go of the interpreter, and what is left of the step would wait for it."""
    said: list[str] = []

    class Watcher(Caller):
        def tell(self, request: TextRequest) -> None:
            said.append("tell")

        def ring(self) -> None:
            said.append("ring")

    batch = batch_of(ScriptedEngine("ab", "cd", "ef"))
    requests = [request_of([i]) for i in range(3)]
    for request in requests:
        Watcher(request)
    begin(batch, *requests)
    batch.step()
    assert said == ["tell"] * 3 + ["ring"] * 3


def test_beside_answers_of_others_steps_are_short() -> None:
    engine = ScriptedEngine("a" * 900, "b")
    batch = batch_of(engine)
    begin(batch, request_of([0], max_tokens=900))
    batch.step()
    batch._pace.learn(1, 0, 0.010)
    batch._pace.learn(1, 40, 0.050)  # a millisecond a token
    begin(batch, request_of([1] * 200))
    batch.step()
    assert engine.steps[1] == [1, 39]  # rows that fill their tiles


def test_what_a_step_of_answers_takes_is_looked_at_though_prompts_always_wait() -> None:
    engine = ScriptedEngine("a" * 900, "b")
    batch = batch_of(engine)
    begin(batch, request_of([0], max_tokens=900))
    batch.step()
    begin(batch, request_of([1] * 30000))
    for _ in range(5):
        batch.step()
    assert engine.steps[1] == [1] and all(len(spans) == 2 for spans in engine.steps[2:])


def test_a_short_prompt_goes_before_the_rest_of_a_long_one() -> None:
    engine = ScriptedEngine("a", "b")
    batch, short = batch_of(engine), request_of([1] * 10)
    begin(batch, request_of([0] * 900))
    batch.step()
    begin(batch, short)
    batch.step()
    assert engine.steps == [[256], [10, 246]] and short.text == "b"


def test_more_than_can_run_wait_in_line() -> None:
    engine = ScriptedEngine("abc")
    batch, requests = batch_of(engine), [request_of([0]) for _ in range(MAX_RUNNING + 5)]
    begin(batch, *requests)
    run(batch)
    assert max(map(len, engine.steps)) == MAX_RUNNING
    assert [r.text for r in requests] == ["abc"] * len(requests)


def test_a_caller_with_many_answers_gives_way_to_one_that_has_none() -> None:
    engine = ScriptedEngine("a" * 50, "bc")
    many = [request_of([0]) for _ in range(MAX_RUNNING + 9)]
    Caller(*many)
    batch, newcomers = batch_of(engine), [request_of([1]) for _ in range(3)]
    begin(batch, *many)
    batch.step()
    begin(batch, *newcomers)
    for _ in range(3):
        batch.step()
    assert [r.text for r in newcomers] == ["bc"] * 3
    assert max(map(len, engine.steps)) == MAX_RUNNING
    run(batch)
    assert [r.text for r in many] == ["a" * 50] * len(many)


def test_short_answers_come_to_their_end() -> None:
    engine = ScriptedEngine("a" * 9)
    batch = batch_of(engine)
    begin(batch, *(request_of([0]) for _ in range(MAX_RUNNING + 1)))
    run(batch)
    assert engine.steps[:10] == [[1] * MAX_RUNNING] * 10
    assert sum(map(sum, engine.steps)) == 10 * (MAX_RUNNING + 1)  # nothing twice


@pytest.mark.parametrize("n_more", [1, 40])
def test_long_answers_of_more_callers_than_can_run_take_turns(n_more: int) -> None:
    n = 10 * SLICE
    engine = ScriptedEngine("a" * n)
    batch = batch_of(engine)  # which remembers nothing
    requests = [request_of([0], max_tokens=n) for _ in range(MAX_RUNNING + n_more)]
    begin(batch, *requests)
    for _ in range(3 * SLICE):
        batch.step()
        assert len(batch._running) == MAX_RUNNING
    lengths = [len(request.text) for request in requests]
    assert min(lengths) > 0 and max(lengths) - min(lengths) <= 2 * SLICE
    run(batch)
    assert [r.text for r in requests] == ["a" * n] * len(requests)
    assert sum(map(sum, engine.steps)) == n * len(requests)  # nothing twice


def test_a_slice_is_as_long_as_its_callers_priority() -> None:
    engine = ScriptedEngine("a" * 900)
    requests = [request_of([0], max_tokens=900) for _ in range(2 * MAX_RUNNING)]
    Caller(requests[3], priority=4)
    batch = batch_of(engine)
    begin(batch, *requests)
    for _ in range(4 * SLICE - 1):
        batch.step()
    assert len(requests[3].text) == 4 * SLICE - 1  # as if alone
    assert max(len(r.text) for r in requests if r is not requests[3]) <= 3 * SLICE


def test_newcomers_do_not_keep_those_out_whose_slice_was_over() -> None:
    engine = ScriptedEngine("a" * 200, "b")
    batch, stay = batch_of(engine), [request_of([0], max_tokens=200) for _ in range(MAX_RUNNING)]
    begin(batch, *stay)
    for _ in range(400):
        begin(batch, request_of([1]))
        batch.step()
    assert all(request.is_over for request in stay)


def test_newcomers_are_not_paid_for_by_those_who_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    n_looks = 0

    def needs_work(request: Request) -> bool:
        nonlocal n_looks
        n_looks += 1
        return not (request.finish_reason or request.is_cancelled)

    monkeypatch.setattr(Request, "needs_work", property(needs_work))
    batch, requests = batch_of(ScriptedEngine("abc")), [request_of([0]) for _ in range(300)]
    begin(batch, *requests)
    batch.step()
    for request in requests:
        request.is_cancelled = True
        batch.give_up()
    batch.step()
    assert batch.is_idle and n_looks < 5 * len(requests)


def test_while_the_disk_is_read_for_one_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = ScriptedEngine("ab", "c", "d")
    batch, reads, pages = batch_of(engine), request_of([1] * 20), iter([True] * 5)
    monkeypatch.setattr(disk_reading, "_READING_S", 0.0)
    monkeypatch.setattr(batch._memory, "load_next", lambda r: r is reads and next(pages, False))
    begin(batch, request_of([0] * 600))
    batch.step()
    begin(batch, reads)
    batch.step()
    assert engine.steps == [[256], [256]] and reads.sequence is None
    run(batch)
    assert reads.text == "c"


def test_whoever_comes_while_the_disk_is_read_does_not_wait_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batch, reads, pages = batch_of(ScriptedEngine("a", "b")), request_of([0] * 20), iter([True] * 9)
    monkeypatch.setattr(disk_reading, "_READING_S", 0.0)
    monkeypatch.setattr(batch._memory, "load_next", lambda r: r is reads and next(pages, False))
    begin(batch, reads)
    batch.step()
    short = request_of([1])
    begin(batch, short)
    for _ in range(2):
        batch.step()
    assert short.text == "b" and not reads.is_over
    run(batch)
    assert reads.text == "a"


def test_whoever_is_cancelled_leaves_and_the_others_do_not_notice() -> None:
    batch = batch_of(ScriptedEngine("abcdef", "ghijkl"))
    gone, stays, waits = request_of([0]), request_of([1]), request_of([1] * 2000)
    begin(batch, gone, stays, waits)
    batch.step()
    gone.is_cancelled = waits.is_cancelled = True
    batch.drop_unwanted()
    assert gone.is_over and gone.sequence is None and waits.is_over
    run(batch)
    assert (gone.text, stays.text) == ("a", "ghijkl")


def test_a_step_that_nobody_wants_is_aborted_and_one_that_somebody_does_is_not() -> None:
    batch: RunningBatch

    def before(step: int) -> None:
        requests[0].is_cancelled = True
        batch.current.abort_if_unwanted()
        if step == 2:
            requests[1].is_cancelled = True
            batch.current.abort_if_unwanted()

    engine = ScriptedEngine("abc", "def", before=before)
    batch, requests = batch_of(engine), [request_of([0]), request_of([1])]
    begin(batch, *requests)
    run(batch)
    assert [r.text for r in requests] == ["", "d"] and len(engine.steps) == 2


def test_a_step_that_nobody_is_in_yet_is_not_aborted() -> None:
    batch, request = batch_of(ScriptedEngine("a")), request_of([0])
    plan = batch._plan

    def plan_while_somebody_is_cancelled(step: Step) -> None:
        batch.current = step
        batch.give_up()
        plan(step)

    batch._plan = plan_while_somebody_is_cancelled  # type: ignore[method-assign]
    begin(batch, request)
    batch.step()
    assert request.text == "a"


def test_an_error_of_the_engine_ends_all_in_the_step_and_each_has_its_own() -> None:
    def before(step: int) -> None:
        if step == 2:
            raise EngineError("no memory")

    batch = batch_of(ScriptedEngine("abc", "def", before=before))
    requests = [request_of([0]), request_of([1])]
    begin(batch, *requests)
    run(batch)
    errors = [r.error for r in requests]
    assert all("no memory" in str(e) for e in errors) and errors[0] is not errors[1]
    later = request_of([0])
    begin(batch, later)
    run(batch)
    assert later.text == "abc"


def test_what_fails_in_a_request_is_its_own() -> None:
    class Failing(TextRequest):
        def sample(self, logits: Any) -> int:
            raise LookupError("mine")

    tokenizer: Any = Letters()
    failing = Failing(tokenizer, [0], SamplingParams(), 100)
    Caller(failing)
    batch, other = batch_of(ScriptedEngine("abc", "def")), request_of([1])
    begin(batch, failing, other)
    run(batch)
    assert isinstance(failing.error, LookupError) and other.text == "def"


@pytest.mark.parametrize("changes", [{}, {"sliding_window": 40, "sliding_layers": (True, False)}])
def test_answers_are_the_same_bits_whoever_comes_and_goes(
    changes: dict[str, Any], threads: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of a model whose layers with a window keep little before it."""
    monkeypatch.setattr(kv_cache, "_SLACK", 10)
    monkeypatch.setattr(kv_cache, "_LEAST_KEPT", 0)
    shape = replace(small_models.SHAPES["Q8_0"], changes=changes)
    model = small_models.build(shape, threads)
    engine = model.engine(Pool(2))
    kinds = makers(model)
    reused, n_accepted = check_bits(
        engine, lambda n: model.tokens(n, seed=n % 3), monkeypatch, kinds
    )
    assert max(reused) > 0 and n_accepted > 0
    engine.close()
