"""Callers that come and go at random: each gets the bits that it gets alone."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from many_kinds import PLAIN, Make, outcome, share
from scripted import Caller, batch_of, numbered_request

from halfbyte.generation import running_batch, slices
from halfbyte.generation.continuation import Continuation
from halfbyte.generation.prompt_memory import Bounds
from halfbyte.generation.running_batch import RunningBatch
from halfbyte.generation.speculation import credit, planned
from halfbyte.generation.speculation.drafter import Drafter
from halfbyte.generation.text_request import TextRequest


def run(batch: RunningBatch) -> None:
    """To the end."""
    while not batch.is_idle:
        batch.step()


def check_bits(
    engine: Any,
    tokens_of: Callable[[int], list[int]],
    monkeypatch: pytest.MonkeyPatch,
    makers: Sequence[Make] = PLAIN,
) -> tuple[list[int], int]:
    """Random arrivals, cancellations and losses of places and memory, against each request alone.

    Args:
        engine: of 333 tokens.
        tokens_of: a prompt of so many tokens; many begin alike.
        monkeypatch: sets how many run, how long, and that all guesses are tried.
        makers: of each kind of requests.

    Returns:
        How many tokens of each prompt were reused, and how many guesses were right.
    """
    alone: dict[tuple[int, int, int], Any] = {}
    reused: list[int] = []
    accepted: list[int] = []

    class Callers(RuleBasedStateMachine):
        @initialize()
        def remember(self) -> None:
            bounds = Bounds(nbytes=40 * engine.layout.page_nbytes)
            self.batch, self.asked = batch_of(engine, bounds), []
            for n in range(3):  # with which the others begin
                request = numbered_request(1, tokens_of(298 + n), 1)
                Caller(request)
                self.batch.add(request)
                run(self.batch)
            self.arrive(1, 300, 3, 2)
            for kind in range(len(PLAIN), len(makers)):
                self.arrive(kind, 130 + kind, 4, 2, is_shared=kind % 2 > 0)
            self.stay, self.asked = self.asked, []

        @rule(
            kind=st.integers(0, len(makers) - 1), n=st.integers(1, 300), m=st.integers(1, 8),
            of=st.integers(1, 4), is_shared=st.booleans(),
        )  # fmt: skip
        def arrive(self, kind: int, n: int, m: int, of: int, is_shared: bool = False) -> None:
            numbers = [(kind, n, m + i) for i in range(of)]
            requests = [makers[kind](tokens_of(n), m) for *_, m in numbers]
            for one, request in zip(numbers, requests, strict=True):
                if isinstance(request, TextRequest) and request.drafter is not None:
                    guesses = list(self.expected(*one)[0])
                    guesses[len(guesses) // 2 : len(guesses) // 2 + 1] = [1]  # but for one, right
                    request.drafter = Drafter(prediction=guesses)
            if is_shared:
                share(requests)
            Caller(*requests, priority=1.0 + m)
            self.asked += zip(numbers, requests, strict=True)
            for request in requests:
                self.batch.add(request)

        @precondition(lambda self: self.asked)
        @rule(data=st.data())
        def cancel(self, data: st.DataObject) -> None:
            _, request = data.draw(st.sampled_from(self.asked))
            request.is_cancelled = True
            self.batch.drop_unwanted()

        @rule(n=st.integers(1, 6))
        def work(self, n: int) -> None:
            for _ in range(n):
                self.batch.step()

        @rule()
        def lose_memory_of_who_waits(self) -> None:
            waits = self.batch._line.last_with_memory()
            if waits is not None:
                self.batch._lose_memory(waits)

        @rule(pick=st.integers(0, 99))
        def lose_memory(self, pick: int) -> None:
            if self.batch._running:
                self.batch._preempt(self.batch._running[pick % len(self.batch._running)])

        def teardown(self) -> None:
            run(self.batch)
            for numbers, request in self.stay + self.asked:
                assert request.is_over and request.sequence is None
                if not request.is_cancelled:
                    assert outcome(request) == self.expected(*numbers)
                    reused.append(request.n_reused or 0)
                    accepted.append(getattr(request, "n_accepted", 0))

        def expected(self, kind: int, n: int, m: int) -> Any:
            if (kind, n, m) not in alone:
                tokens = tokens_of(n)  # many begin alike
                request, batch = makers[kind](tokens, m), batch_of(engine)
                if isinstance(request, Continuation):
                    request.drafter = None
                Caller(request)
                batch.add(request)
                run(batch)
                alone[kind, n, m] = outcome(request)
            return alone[kind, n, m]

    monkeypatch.setattr(running_batch, "MAX_RUNNING", 4)
    monkeypatch.setattr(slices, "SLICE", 1)
    monkeypatch.setattr(planned, "GAIN", 0.0)
    monkeypatch.setattr(credit, "_FIRST", math.inf)
    monkeypatch.setattr(credit, "_MOST", math.inf)
    Callers.TestCase.settings = settings(
        max_examples=int(os.environ.get("N_EXAMPLES", "4")), stateful_step_count=12, deadline=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    Callers.TestCase("runTest").runTest()
    return reused, sum(accepted)
