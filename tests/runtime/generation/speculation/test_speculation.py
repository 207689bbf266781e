"""Drafts change nothing in what is said, and are made where they pay."""

from __future__ import annotations

from random import Random
from typing import Any

from scripted import Caller, ScriptedEngine, batch_of, request_of

from halfbyte.errors import EngineError
from halfbyte.generation.request import Request
from halfbyte.generation.running_batch import RunningBatch
from halfbyte.generation.speculation.drafter import Drafter


def run(batch: RunningBatch, *requests: Request) -> None:
    for request in requests:
        batch.add(request)
    while not batch.is_idle:
        batch.step()


def with_costs(batch: RunningBatch, seconds: dict[int, float]) -> RunningBatch:
    """Steps of so many rows cost so much, whatever is measured."""
    for n_rows, s in seconds.items():
        batch.speculation._costs.learn(n_rows, s)
    batch.speculation.learn = lambda *_: None  # type: ignore[method-assign]
    return batch


FREE = {1: 0.010, 300: 0.0101}  # a row more costs nothing
DEAR = {1: 0.010, 2: 0.020, 300: 3.0}
TEXT = "def f(x): return x + 1; # one"


def predicting(text: str) -> Drafter:
    return Drafter([ord(c) for c in text])


def test_a_prediction_that_comes_true_is_verified_in_one_step() -> None:
    engine = ScriptedEngine(TEXT)
    request = request_of([0], drafter=predicting(TEXT))
    run(with_costs(batch_of(engine), FREE), request)
    assert request.text == TEXT and request.finish_reason == "stop"
    assert engine.steps == [[1], [len(TEXT)]]
    stats = request.stats()
    n = len(TEXT)
    assert (stats.n_drafted, stats.n_accepted, stats.n_decode) == (n - 1, n - 1, n)


def test_what_differs_is_computed_again_from_there() -> None:
    engine = ScriptedEngine("abcdefghij")
    request = request_of([0], drafter=predicting("abcdXfghij"))
    run(with_costs(batch_of(engine), FREE), request)
    assert request.text == "abcdefghij"
    assert engine.steps[:2] == [[1], [10]] and len(engine.steps) < 5
    assert 0 < request.n_accepted < request.n_drafted


def test_where_a_row_costs_as_much_as_a_step_nothing_is_guessed() -> None:
    engine = ScriptedEngine("ab" * 50)
    request = request_of([0], drafter=predicting("ab" * 50))
    run(with_costs(batch_of(engine), DEAR), request)
    assert engine.steps == [[1]] * 101 and request.n_drafted == 0


def test_guesses_that_are_wrong_are_given_up_soon() -> None:
    script, wrong = ("".join(Random(i).choices("abcdefghijkl", k=400)) for i in (0, 1))
    engine = ScriptedEngine(script)
    request = request_of([0], drafter=predicting(wrong), max_tokens=400)
    run(with_costs(batch_of(engine), {1: 0.010, 64: 0.073}), request)
    assert request.text == script
    seconds = sum(0.009 + 0.001 * sum(step) for step in engine.steps)
    assert request.n_drafted and seconds < 1.01 * 0.010 * len(script)


def test_the_length_is_that_which_gives_most_tokens_a_second() -> None:
    engine = ScriptedEngine(TEXT * 4)
    request = request_of([0], drafter=predicting(TEXT * 4), max_tokens=100)
    run(with_costs(batch_of(engine), {1: 0.01, 8: 0.012, 12: 0.1, 300: 9.0}), request)
    assert request.text == (TEXT * 4)[:100]
    assert {n for step in engine.steps[1:-1] for n in step} == {8}


def test_what_repeats_itself_is_guessed_and_what_others_said() -> None:
    engine = ScriptedEngine("abcdefgh" * 12, "xyz" + TEXT)
    batch = with_costs(batch_of(engine), FREE)
    first, second, third = (request_of([i], drafter=Drafter()) for i in (0, 1, 1))
    run(batch, first)
    assert first.text == "abcdefgh" * 12 and len(engine.steps) < 20
    run(batch, second)
    assert second.n_accepted < 12
    engine.steps.clear()
    run(batch, third)
    assert third.text == second.text and len(engine.steps) < 8


def test_texts_that_the_caller_gives_are_looked_into() -> None:
    engine = ScriptedEngine("xyz" + TEXT)
    request = request_of([0], drafter=Drafter(lookup=[[1, 2], [ord(c) for c in TEXT]]))
    run(with_costs(batch_of(engine), FREE), request)
    assert request.text == "xyz" + TEXT and len(engine.steps) == 6


def test_prompts_and_answers_of_others_go_first() -> None:
    engine = ScriptedEngine("ab" * 200, "c" * 50)
    batch = with_costs(batch_of(engine), {1: 0.010, 41: 0.050, 300: 0.3})
    batch._pace.learn(1, 0, 0.010)
    batch._pace.learn(1, 40, 0.050)
    batch._pace.learn = lambda *_: None  # type: ignore[method-assign]  # a script takes no time
    mine = request_of([0], drafter=predicting("ab" * 200), max_tokens=400)
    batch.add(mine)
    batch.step()
    batch.add(request_of([1] * 60))
    for _ in range(60):
        batch.step()
    # A tenth of the 50 ms is for guesses where a prompt is there, the rest as before: whole tiles.
    assert engine.steps[1:3] == [[6, 34], [6, 26]]
    beside = [step for step in engine.steps if len(step) == 2 and step[1] == 1]
    assert beside and max(step[0] for step in beside) <= 40  # within 50 ms
    run(batch)
    assert mine.text == "ab" * 200


def test_guesses_take_only_the_room_that_is_left() -> None:
    engine = ScriptedEngine(*[chr(97 + i) * 90 for i in range(10)])
    requests = [
        request_of([i], drafter=predicting(chr(97 + i) * 90), max_tokens=90) for i in range(10)
    ]
    Caller(*requests)
    run(with_costs(batch_of(engine), FREE), *requests)
    assert [r.text for r in requests] == [chr(97 + i) * 90 for i in range(10)]
    assert max(sum(step) for step in engine.steps) <= 256 and len(engine.steps) < 40


def test_nothing_is_guessed_beyond_the_last_token_and_the_context() -> None:
    engine = ScriptedEngine("a" * 90)
    request = request_of([0], n_ctx=20, drafter=predicting("a" * 90))
    run(with_costs(batch_of(engine), FREE), request)
    assert len(request.ids) == 20 and request.finish_reason == "context"
    assert sum(map(sum, engine.steps)) == 19


def test_nobody_gives_up_memory_for_a_guess() -> None:
    engine = ScriptedEngine("a" * 30)
    made = engine.new_sequence

    def new_sequence() -> Any:
        sequence = made()

        def reserve(n: int, n_guessed: int = 0) -> None:
            if n > 1:
                raise EngineError("no memory")

        sequence.reserve = reserve
        return sequence

    engine.new_sequence = new_sequence  # type: ignore[method-assign]
    request = request_of([0], drafter=predicting("a" * 30))
    run(with_costs(batch_of(engine), FREE), request)
    assert request.text == "a" * 30 and request.error is None


def test_a_prompt_that_finds_no_memory_takes_that_of_guesses_first() -> None:
    engine = ScriptedEngine(TEXT, TEXT)
    batch = with_costs(batch_of(engine), FREE)
    mine, other = request_of([0], drafter=predicting(TEXT)), request_of([1] * 5)
    Caller(mine, other)
    batch.add(mine)
    batch.step()
    n_left = 20
    made = engine.new_sequence

    def new_sequence() -> Any:
        sequence = made()

        def reserve(n: int, n_guessed: int = 0) -> None:
            held = len(mine.drafted)
            if held + n > n_left:
                raise EngineError("no memory")

        sequence.reserve = reserve
        return sequence

    engine.new_sequence = new_sequence  # type: ignore[method-assign]
    batch.add(other)
    batch.step()
    assert engine.steps[1] == [1, 5] and mine in batch._running
    run(batch)
    assert (mine.text, other.text) == (TEXT, TEXT)
