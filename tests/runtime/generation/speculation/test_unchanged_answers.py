"""Answers are the same with guesses as without, whoever makes them and whatever else goes on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from random import Random
from typing import Any

import numpy as np
import pytest
import small_models
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripted import Caller, batch_of

from halfbyte.engine.engine import Span
from halfbyte.engine.kv_cache import KVCache
from halfbyte.engine.page_pool import Page
from halfbyte.generation.params import SamplingParams
from halfbyte.generation.prompt_memory import Bounds, PromptMemory
from halfbyte.generation.radix_tree import Root
from halfbyte.generation.request import Request
from halfbyte.generation.running_batch import RunningBatch
from halfbyte.generation.sampler import F32
from halfbyte.generation.shown_text import ShownText
from halfbyte.generation.speculation.draft_model import DraftModel
from halfbyte.generation.speculation.drafter import Drafter
from halfbyte.generation.text_request import TextRequest
from halfbyte.kernels.layouts.kv_pages import PAGE
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
        "banned": st.sampled_from([(), (), ("A", "D", "QR", "ST")]),
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
    banned = a.get("banned", ())
    rules = [Parity()] if a["has_rule"] and not banned else []  # it cannot step back
    tokens = model.tokens(a["prompt"], seed=a["prompt"])
    shown = ShownText(params.stop, banned=banned)
    request = TextRequest(kind(), tokens, params, N_CTX, drafter=drafter, rules=rules, shown=shown)
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
    batch._pace.guessing_s = lambda *_, **__: 9.0  # type: ignore[method-assign]
    batch._pace.n_beside = lambda *_: 32  # type: ignore[method-assign]
    return batch


@settings(
    max_examples=int(os.environ.get("N_EXAMPLES", "20")), deadline=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(
    asked=st.lists(ASKED, min_size=1, max_size=3),
    draft=st.sampled_from(["same", "other", "none"]),
    n_known=st.sampled_from([0, 1 << 24]),
    n_pages=st.sampled_from([None, 2, 2, 3]),
    chance=st.builds(Random, st.integers(0, 1 << 20)),  # how many are drawn is a matter of time
)
def test_answers_are_the_same_with_guesses_and_without(
    models: list[Any], engine: Any, guests: dict[str, Any], asked: list[dict[str, Any]],
    draft: str, n_known: int, n_pages: int | None, chance: Random,
) -> None:  # fmt: skip
    """Whatever is guessed: what comes and would come after the end, more or less changed."""
    alone = [made(models[0], a) for a in asked]
    endless = [made(models[0], {**a, "n": a["n"] + 5, "stop": ()}, kind=Endless) for a in asked]
    for request in (*alone, *endless):
        run(batch_of(engine), request)
    batch = eager(engine, guests.get(draft), n_known)
    guessed = [made(models[0], a, drafter_for(a, e.tokens))
               for a, e in zip(asked, endless, strict=True)]  # fmt: skip
    with few_pages(engine, n_pages):
        come_and_go(batch, asked, guessed, chance)
    for request, expected in zip(guessed, alone, strict=True):
        if request.is_cancelled:
            assert expected.tokens[: len(request.tokens)] == request.tokens
            continue
        assert request.error is None
        for name in ("tokens", "text", "finish_reason", "n_decode"):
            assert getattr(request, name) == getattr(expected, name), name
        assert request.n_accepted <= request.n_drafted
    check_remembered(batch, engine)


def come_and_go(
    batch: RunningBatch, asked: list[dict[str, Any]], guessed: list[TextRequest],
    chance: Random,
) -> None:  # fmt: skip
    """Work on the requests, which join, are cancelled and lose their memory."""
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
            assert request.sequence is None or request.sequence.n_past < len(request.ids)
        happens = chance.randrange(20)
        if happens == 0 and batch._running:
            batch._preempt(batch._running[0])
        if happens == 1:
            batch.speculation.give_back()


@contextmanager
def few_pages(engine: Any, n: int | None) -> Iterator[None]:
    """So many pages are all that there are, besides those of others."""
    pages, page_nbytes = engine.pages, engine.layout.page_nbytes
    pages.max_nbytes = None if n is None else pages.nbytes + n * page_nbytes
    try:
        yield
    finally:
        pages.max_nbytes = None


def check_remembered(batch: RunningBatch, engine: Any) -> None:
    """Each page that is remembered has the bits that its tokens give alone."""
    for node in batch._memory._cache.nodes():
        path = [node]
        while not isinstance(path[0].parent, Root):
            path.insert(0, path[0].parent)
        tokens = np.frombuffer(b"".join(one.tokens for one in path), np.int32)
        sequence, n = engine.new_sequence(), node.end - node.begin
        engine.forward([Span(sequence, tokens.tolist(), 0)])
        for a, b in zip(filled(engine, node.page, n),
                        filled(engine, sequence.kv.pages[-1], n), strict=True):  # fmt: skip
            assert (a == b).all()


def filled(engine: Any, page: Page, n: int) -> tuple[Any, Any]:
    """The keys and the values of a page's first n positions, by head."""
    layout = engine.layout
    heads = page.data.view(np.float32).reshape(-1, layout.head_nbytes // 4)
    keys, values = np.split(heads, [PAGE * layout.head_dim], axis=1)
    keys = keys.reshape(len(heads), PAGE // 16, layout.head_dim, 16).swapaxes(2, 3)
    keys = keys.reshape(len(heads), PAGE, layout.head_dim)
    return keys[:, :n], values.reshape(len(heads), PAGE, layout.value_dim)[:, :n]


PLAIN: dict[str, Any] = {
    "prompt": 30, "n": 40, "temperature": 0.0, "frequency_penalty": 0.7,
    "presence_penalty": 0.0, "repetition_penalty": 1.0, "top_k": 0, "stop": (),
    "has_rule": False, "changes": [], "text": "prediction",
}  # fmt: skip


@pytest.mark.parametrize("changes", [[(3, 3)], [(2, 3), (9, 4)]])
def test_a_wrong_guess_takes_no_page(models: list[Any], engine: Any, changes: Any) -> None:
    """Where the answer's only page is remembered too, and there is no other."""
    asked = {**PLAIN, "changes": changes}
    alone = made(models[0], asked, kind=Endless)
    run(batch_of(engine), alone)
    batch = eager(engine, None, 1)
    request = made(models[0], asked, drafter_for(asked, list(alone.tokens)), kind=Endless)
    with few_pages(engine, 1):
        run(batch, request)
    assert (request.error, request.tokens) == (None, alone.tokens)
    assert request.n_drafted > request.n_accepted
    check_remembered(batch, engine)


def test_guesses_of_who_is_cancelled_within_a_step_are_not_remembered(
    models: list[Any], engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = made(models[0], PLAIN, kind=Endless)
    run(batch_of(engine), alone)
    other = made(models[0], {**PLAIN, "prompt": 31}, kind=Endless)
    request = made(models[0], PLAIN, Drafter([60, 61, *alone.tokens]), kind=Endless)
    batch, forward = eager(engine, None, 1), engine.forward

    def cancel_within(spans: Any, *more: Any) -> Any:
        logits = forward(spans, *more)
        request.is_cancelled |= any(span.n_out > 3 for span in spans)
        return logits

    monkeypatch.setattr(engine, "forward", cancel_within)
    with few_pages(engine, 2):
        run(batch, request, other)
    assert request.is_cancelled and request.n_generated < 10 and other.error is None
    monkeypatch.undo()
    check_remembered(batch, engine)
    again = made(models[0], {**PLAIN, "n": 9}, kind=Endless)
    run(batch, again)
    assert (again.n_reused, again.tokens) == (29, alone.tokens[:9])


def test_an_answer_that_steps_back_into_a_remembered_page_is_computed_again(
    models: list[Any], engine: Any
) -> None:
    alone = made(models[0], PLAIN, kind=Endless)
    run(batch_of(engine), alone)
    asked = {**PLAIN, "banned": (alone.text[:1], alone.text[3:5])}
    expected = made(models[0], asked, kind=Endless)
    run(batch_of(engine), expected)
    batch, request = eager(engine, None, 1), made(models[0], asked, kind=Endless)
    with few_pages(engine, 1):
        run(batch, request)
    assert (request.error, request.tokens) == (None, expected.tokens)
    assert expected.tokens[0] != alone.tokens[0]
    check_remembered(batch, engine)


def test_what_cannot_be_cut_back_is_computed_again(
    models: list[Any], engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is not remembered as what it is not."""
    alone = made(models[0], PLAIN, kind=Endless)
    run(batch_of(engine), alone)
    asked = {**PLAIN, "changes": [(2, 3), (9, 4), (20, 5)]}
    batch = eager(engine, None, 1)
    request = made(models[0], asked, drafter_for(asked, list(alone.tokens)), kind=Endless)
    cut, n_cuts = KVCache.cut, count()

    def cut_sometimes(cache: KVCache, n: int) -> KVCache:
        if next(n_cuts) % 3 == 0:
            raise MemoryError
        return cut(cache, n)

    monkeypatch.setattr(KVCache, "cut", cut_sometimes)
    run(batch, request)
    assert (request.error, request.tokens) == (None, alone.tokens)
    assert next(n_cuts) > 1
    check_remembered(batch, engine)


def test_a_draft_model_guesses_in_them(
    models: list[Any], engine: Any, guests: dict[str, Any]
) -> None:
    """So that the test above is one of guesses, too."""
    counts = {}
    for name, guest in guests.items():
        request = made(models[0], PLAIN, Drafter(), kind=Endless)
        run(eager(engine, guest, 0), request)
        counts[name] = request.n_drafted, request.n_accepted
    assert counts["same"][1] > 5 and counts["other"][0] > counts["other"][1]
