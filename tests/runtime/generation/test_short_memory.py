"""Where memory is short for one, he waits, gives way or fails, and the others go on."""

from __future__ import annotations

import pytest
from scripted import (
    Caller,
    ScriptedEngine,
    ScriptedSequence,
    batch_of,
    begin,
    request_of,
    run,
)

from halfbyte.errors import EngineError
from halfbyte.generation import running_batch as batch_module
from halfbyte.generation.pace import Pace
from halfbyte.generation.request import Request
from halfbyte.generation.slices import SLICE


def test_without_memory_to_look_for_a_prompt_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batch, failing, other = batch_of(ScriptedEngine("abc", "def")), request_of([0]), request_of([1])
    begin_one = batch._memory.begin

    def begin_or_fail(request: Request) -> None:
        if request is failing:
            raise MemoryError
        begin_one(request)

    monkeypatch.setattr(batch._memory, "begin", begin_or_fail)
    begin(batch, failing, other)
    run(batch)
    assert isinstance(failing.error, EngineError) and other.text == "def"


@pytest.mark.parametrize("name", ["n_known", "begin", "load_next"])
def test_memory_is_short_for_what_is_known_of_one_and_the_others_go_on(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, other, failing = batch_of(ScriptedEngine("abc", "d")), request_of([0]), request_of([1])
    known = getattr(batch._memory, name)

    def known_or_fails(request: Request) -> object:
        if request is failing:
            raise MemoryError
        return known(request)

    monkeypatch.setattr(batch._memory, name, known_or_fails)
    begin(batch, other, failing)
    run(batch)
    assert other.text == "abc" and batch.is_idle and failing.is_over
    if name == "load_next":
        assert failing.text == "d"
    else:
        assert isinstance(failing.error, EngineError)


@pytest.mark.parametrize("n_remembered", [0, 3])
def test_memory_is_short_for_a_plan(n_remembered: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is remembered gives way first; then who is in the step is over, and others are not."""
    batch, answers = batch_of(ScriptedEngine("abc", "def")), [request_of([i]) for i in range(2)]
    begin(batch, *answers)
    batch.step()
    can_forget = iter([True] * n_remembered)
    monkeypatch.setattr(batch._memory, "find_pages", lambda error: next(can_forget, False))
    n_fails = iter([True] * 3)

    def guess(*_: object) -> float:  # when the answers' tokens are in the step
        if next(n_fails, False):
            raise MemoryError
        return 0.0

    monkeypatch.setattr(batch, "_guess", guess)
    for _ in range(6):
        batch.step()
    assert batch.is_idle
    if n_remembered:
        assert [r.text for r in answers] == ["abc", "def"]
    else:
        assert all(isinstance(r.error, EngineError) and r.text for r in answers)
    monkeypatch.undo()
    later = request_of([0])
    begin(batch, later)
    run(batch)
    assert later.text == "abc"


@pytest.mark.parametrize("n_running", [0, 1])
def test_memory_is_short_for_any_plan(n_running: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after another is over, with an error."""
    batch = batch_of(ScriptedEngine("a" * 30))
    running, waiting = [request_of([0] * 600) for _ in range(n_running)], request_of([0])
    begin(batch, *running)
    batch.step()
    begin(batch, waiting)

    def give_way() -> None:
        raise MemoryError

    monkeypatch.setattr(batch, "_give_way", give_way)
    run(batch)
    assert all(isinstance(r.error, EngineError) for r in [*running, waiting])


def test_memory_is_short_for_what_a_step_has_given(monkeypatch: pytest.MonkeyPatch) -> None:
    batch, requests = batch_of(ScriptedEngine("abc", "def")), [request_of([i]) for i in range(2)]

    def keep_on_the_way(request: Request) -> None:
        raise MemoryError

    begin(batch, *requests)
    batch.step()
    monkeypatch.setattr(batch._memory, "keep_on_the_way", keep_on_the_way)
    run(batch)
    assert all(isinstance(r.error, EngineError) and r.is_over for r in requests)


def test_memory_is_short_for_a_guess_and_answers_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    batch, request = batch_of(ScriptedEngine("abc")), request_of([0])

    def extend(*_: object) -> tuple[int, float]:
        raise MemoryError

    monkeypatch.setattr(batch.speculation, "extend", extend)
    begin(batch, request)
    run(batch)
    assert request.text == "abc"


class SmallMemory(ScriptedEngine):
    """Sequences of at most so many tokens together."""

    def __init__(self, *scripts: str, n_tokens: int) -> None:
        super().__init__(*scripts)
        self.n_tokens, self.sequences = n_tokens, []

    def new_sequence(self) -> ScriptedSequence:
        engine = self

        class Bounded(ScriptedSequence):
            n_reserved = 0

            def reserve(self, n: int, n_guessed: int = 0) -> None:
                held = [s for s in engine.sequences if s.owner() is not None and s is not self]
                if sum(s.n_reserved for s in held) + self.n_past + n > engine.n_tokens:
                    raise EngineError("no memory")
                self.n_reserved = self.n_past + n

        made = Bounded()
        self.sequences.append(made)
        made.owner = lambda: next((r for r in self.requests if r.sequence is made), None)
        return made


def test_without_memory_the_last_in_line_is_computed_again() -> None:
    engine = SmallMemory("a" * 30, "b" * 30, "c" * 30, n_tokens=50)
    engine.requests = [request_of([i] * 5) for i in range(3)]
    batch = batch_of(engine)
    begin(batch, *engine.requests)
    run(batch)
    assert [r.error for r in engine.requests] == [None] * 3
    assert [r.text for r in engine.requests] == ["a" * 30, "b" * 30, "c" * 30]


def test_an_answer_makes_room_for_a_prompt_that_stands_before_it_and_goes_on() -> None:
    engine = SmallMemory("a" * 20, "bcd", "", n_tokens=81)
    answer, waits = request_of([0] * 40), request_of([2] * 60)
    before = request_of([1] * 60)
    Caller(before, priority=4)
    engine.requests = [answer, waits, before]
    batch = batch_of(engine)
    begin(batch, answer, waits)
    batch.step()
    batch._pace = Pace()
    batch._pace.learn(1, 0, 0.010)
    batch._pace.learn(1, 40, 0.050)  # so that it takes two steps
    begin(batch, before)
    run(batch)
    assert [r.error for r in engine.requests] == [None] * 3
    assert (answer.text, before.text) == ("a" * 20, "bcd")


def test_a_prompt_that_made_room_in_a_step_shares_it_once() -> None:
    """It stands in line again, and is no longer one of those that had begun."""
    engine = ScriptedEngine("abcdef", "xyz")
    answer, prompt = request_of([0] * 200), request_of([1] * 61)
    Caller(answer, prompt)
    batch = batch_of(engine)
    begin(batch, answer, prompt)
    batch.step()
    assert engine.steps == [[200, 56]] and answer.sequence is not None
    reserve, fails = answer.sequence.reserve, iter([True])

    def reserve_or_fail(n: int, n_guessed: int = 0) -> None:
        if next(fails, False):
            raise EngineError("no memory")
        reserve(n, n_guessed)

    answer.sequence.reserve = reserve_or_fail  # type: ignore[method-assign]
    batch.step()
    assert engine.steps[1] == [1, 61]
    run(batch)
    assert (answer.text, prompt.text) == ("abcdef", "xyz")


def test_whoever_waits_gives_its_memory_to_those_who_run_and_goes_on_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where it is computed again, a slice is longer: little of the time goes into that."""
    monkeypatch.setattr(batch_module, "MAX_RUNNING", 4)
    n, n_prompt, n_callers = 8 * SLICE, 600, 8
    engine = SmallMemory("a" * n, n_tokens=5 * (n_prompt + n))
    engine.requests = [request_of([0] * n_prompt, max_tokens=n) for _ in range(n_callers)]
    batch = batch_of(engine)
    begin(batch, *engine.requests)
    run(batch)
    assert [r.text for r in engine.requests] == ["a" * n] * n_callers
    n_again = sum(map(sum, engine.steps)) - (n_prompt + n - 1) * n_callers
    assert 0 < n_again < 4 * n * n_callers


def test_one_that_does_not_fit_alone_fails_and_the_others_run() -> None:
    engine = SmallMemory("a" * 30, "b" * 30, "c" * 30, n_tokens=40)
    engine.requests = [request_of([i] * n) for i, n in enumerate((5, 45, 5))]
    batch = batch_of(engine)
    begin(batch, *engine.requests)
    run(batch)
    assert [r.text for r in engine.requests] == ["a" * 30, "", "c" * 30]
    assert isinstance(engine.requests[1].error, EngineError)


def test_an_answer_that_ends_for_want_of_memory_ends_alone() -> None:
    engine = ScriptedEngine("abcdef", "xyz")
    batch, request = batch_of(engine), request_of([0])
    begin(batch, request)
    batch.step()
    assert request.sequence is not None

    def reserve(n: int, n_guessed: int = 0) -> None:
        raise EngineError("no memory")

    request.sequence.reserve = reserve  # type: ignore[method-assign]
    run(batch)
    assert str(request.error) == "no memory" and request.text == "a" and request.is_over
    other = request_of([1])
    begin(batch, other)
    run(batch)
    assert other.text == "xyz"
