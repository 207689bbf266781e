"""Answers are the same with guesses as without, whoever makes them and whatever else goes on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest
import small_models
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripted import Caller, batch_of

from halfbyte.generation.params import SamplingParams
from halfbyte.generation.prompt_memory import Bounds, PromptMemory
from halfbyte.generation.request import Request
from halfbyte.generation.running_batch import RunningBatch
from halfbyte.generation.sampler import F32
from halfbyte.generation.speculation.draft_model import DraftModel
from halfbyte.generation.speculation.drafter import Drafter
from halfbyte.generation.text_request import TextRequest
from halfbyte.kernels.pool import Pool

N_CTX = 170
BOUNDS = Bounds(1 << 24)


def run(batch: RunningBatch, *requests: Request) -> None:
    for request in requests:
        batch.add(request)
    while not batch.is_idle:
        batch.step()


class Parity:
    """A rule that depends on every token so far, and on their order."""

    def __init__(self) -> None:
        self._state = 1

    def change(self, row: F32) -> None:
        """Forbid a third of all tokens, and raise another."""
        row[self._state % 3 :: 3] = -np.inf
        row[(self._state + 1) % 3 :: 3] += 1.0

    def accept(self, token: int) -> None:
        """Remember it."""
        self._state = (self._state * 31 + token) % 10007


class Vocabulary:
    """As many tokens as the model has, as letters; one ends a text."""

    n_vocab = 64
    eog_ids = frozenset({9})

    def token_bytes(self, token: int) -> bytes:
        return b"%c" % (64 + token)


class Endless(Vocabulary):
    """The same without an end."""

    eog_ids = frozenset()


@pytest.fixture(scope="module")
def models() -> Iterator[list[Any]]:
    """A model and another one."""
    with closing(Pool(2)) as pool:
        shape = small_models.SHAPES["F16"]
        yield [small_models.build(shape, pool, seed) for seed in (1, 2)]


@pytest.fixture(scope="module")
def engine(models: list[Any]) -> Iterator[Any]:
    with closing(Pool(2)) as pool:
        made = models[0].engine(pool)
        yield made
        made.close()


@pytest.fixture(scope="module")
def guests(models: list[Any], engine: Any) -> dict[str, Any]:
    """Draft models: the model itself, which is right unless a token is drawn, and the other."""
    return {
        name: engine.beside(model.config, model.weights, "f32", N_CTX - 15)
        for name, model in zip(("same", "other"), models, strict=True)
    }


ASKED = st.fixed_dictionaries(
    {
        "prompt": st.integers(1, 166),
        "n": st.integers(1, 40),
        "temperature": st.sampled_from([0.0, 0.5, 1.0]),
        "frequency_penalty": st.sampled_from([0.0, 0.7]),
        "presence_penalty": st.sampled_from([0.0, 0.0, -0.5]),
        "repetition_penalty": st.sampled_from([1.0, 1.0, 1.3]),
        "top_k": st.sampled_from([0, 3]),
        "stop": st.sampled_from([(), ("C",), ("AB", "XY", "Q")]),
        "has_rule": st.booleans(),
        "joins_at": st.sampled_from([0, 0, 1, 4]),
        "cancelled_at": st.sampled_from([0, 0, 0, 3, 6]),
        "changes": st.lists(st.tuples(st.integers(0, 39), st.integers(0, 63)), max_size=3),
        "text": st.sampled_from(["prediction", "lookup", "none"]),
    }
)
_PARAMS = (
    "temperature", "frequency_penalty", "presence_penalty", "repetition_penalty", "top_k", "stop",
)  # fmt: skip


def made(
    model: Any, a: dict[str, Any], drafter: Drafter | None = None, kind: type[Any] = Vocabulary
) -> TextRequest:
    params = SamplingParams(max_tokens=a["n"], seed=a["prompt"], **{n: a[n] for n in _PARAMS})
    rules = [Parity()] if a["has_rule"] else []
    tokens = model.tokens(a["prompt"], seed=a["prompt"])
    request = TextRequest(kind(), tokens, params, N_CTX, drafter=drafter, rules=rules)
    Caller(request)
    return request


def drafter_for(a: dict[str, Any], comes: list[int]) -> Drafter:
    """One that is told what comes, more or less changed."""
    for at, token in a["changes"]:
        comes[at % len(comes)] = token
    if a["text"] == "none":
        return Drafter()
    return Drafter(comes) if a["text"] == "prediction" else Drafter(lookup=[comes])


def eager(engine: Any, guest: Any, n_known: int) -> RunningBatch:
    """A batch that takes every guess to be worth its cost."""
    memory = PromptMemory(engine, BOUNDS if n_known else None)
    draft = None if guest is None else DraftModel(guest, engine, n_known)
    batch = RunningBatch(engine, memory, draft)
    batch.speculation._costs.seconds = lambda n_rows: 1.0  # type: ignore[method-assign]
    if draft is not None:
        draft.costs.seconds = lambda n_rows: 0.01  # type: ignore[method-assign]
    batch._pace.guessing_s = lambda **_: 9.0  # type: ignore[method-assign]
    return batch


@settings(
    max_examples=int(os.environ.get("N_EXAMPLES", "20")), deadline=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(
    asked=st.lists(ASKED, min_size=1, max_size=3),
    draft=st.sampled_from(["same", "other", "none"]),
    n_known=st.sampled_from([0, 1 << 24]),
    data=st.data(),
)
def test_answers_are_the_same_with_guesses_and_without(
    models: list[Any], engine: Any, guests: dict[str, Any], asked: list[dict[str, Any]],
    draft: str, n_known: int, data: st.DataObject,
) -> None:  # fmt: skip
    """Whatever is guessed: what comes and would come after the end, more or less changed."""
    alone = [made(models[0], a) for a in asked]
    endless = [made(models[0], {**a, "n": a["n"] + 5, "stop": ()}, kind=Endless) for a in asked]
    for request in (*alone, *endless):
        run(batch_of(engine), request)
    batch = eager(engine, guests.get(draft), n_known)
    guessed = [made(models[0], a, drafter_for(a, e.tokens))
               for a, e in zip(asked, endless, strict=True)]  # fmt: skip
    n_steps, n_to_join = 0, len(guessed)
    while n_to_join or not batch.is_idle:
        for a, request in zip(asked, guessed, strict=True):
            if a["joins_at"] == n_steps:
                batch.add(request)
                n_to_join -= 1
        batch.step()
        n_steps += 1
        for a, request in zip(asked, guessed, strict=True):
            if a["cancelled_at"] == n_steps and n_steps > a["joins_at"]:
                request.is_cancelled = True
                batch.drop_unwanted()
            computed = request.sequence
            assert computed is None or computed.n_past < len(request.ids)
        happens = data.draw(st.integers(0, 19))
        if happens == 0 and batch._running:
            batch._preempt(batch._running[0])
        if happens == 1:
            batch.speculation.give_back()
    for request, expected in zip(guessed, alone, strict=True):
        if request.is_cancelled:
            assert expected.tokens[: len(request.tokens)] == request.tokens
            continue
        assert request.error is None
        for name in ("tokens", "text", "finish_reason", "n_decode"):
            assert getattr(request, name) == getattr(expected, name), name
        assert request.n_accepted <= request.n_drafted


def test_a_draft_model_guesses_in_them(
    models: list[Any], engine: Any, guests: dict[str, Any]
) -> None:
    """So that the test above is one of guesses, too."""
    plain: dict[str, Any] = {
        "prompt": 30, "n": 40, "temperature": 0.0, "frequency_penalty": 0.7,
        "presence_penalty": 0.0, "repetition_penalty": 1.0, "top_k": 0, "stop": (),
        "has_rule": False,
    }  # fmt: skip
    counts = {}
    for name, guest in guests.items():
        request = made(models[0], plain, Drafter(), kind=Endless)
        run(eager(engine, guest, 0), request)
        counts[name] = request.n_drafted, request.n_accepted
    assert counts["same"][1] > 5 and counts["other"][0] > counts["other"][1]
