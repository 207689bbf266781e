"""Layers that fold all they have seen into a state: whoever comes gets the bits of his own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from comings_and_goings import check_bits, run
from many_kinds import PLAIN, Make, beams, guessed
from recurrent_engine import N_VOCAB, RecurrentEngine
from remembered import PAGE_SIZE
from scripted import Caller, Vocabulary, batch_of, numbered_request

from halfbyte.generation import prompt_memory
from halfbyte.generation.params import SamplingParams
from halfbyte.generation.prompt_memory import Bounds, PromptMemory
from halfbyte.generation.request import Request
from halfbyte.generation.running_batch import RunningBatch
from halfbyte.generation.shown_text import ShownText
from halfbyte.generation.speculation.draft_model import DraftModel
from halfbyte.generation.speculation.drafter import Drafter
from halfbyte.generation.text_request import TextRequest

PLENTY = Bounds(nbytes=1 << 30)
END = 2  # of a turn


def tokens_of(n: int) -> list[int]:
    return np.random.default_rng(n % 3).integers(3, N_VOCAB, 2000)[:n].tolist()


def request_for(prompt: list[int], n: int = 6, **more: Any) -> Request:
    request = numbered_request(1, prompt, n)
    for name, value in ({"ends": {END}} | more).items():
        setattr(request, name, value)
    Caller(request)
    return request


def answered(batch: RunningBatch, prompt: list[int], n: int = 6, **more: Any) -> Any:
    request = request_for(prompt, n, **more)
    batch.add(request)
    run(batch)
    assert request.error is None
    return request


def alone(prompt: list[int], n: int = 6) -> list[int]:
    """What comes where nothing is remembered, and nobody else is there."""
    ids: list[int] = answered(batch_of(RecurrentEngine()), prompt, n).ids
    return ids


def test_answers_are_the_same_bits_whoever_comes_and_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guessed ones, several to a prompt, and beams too."""
    monkeypatch.setattr(prompt_memory, "SNAPSHOT_DISTANCE", 30)
    makers: list[Make] = [*PLAIN, guessed(0.0), guessed(1.0), beams]
    reused, n_accepted = check_bits(RecurrentEngine(), tokens_of, monkeypatch, makers)
    assert max(reused) > 0 and n_accepted > 0


def test_a_conversation_goes_on_from_the_end_of_its_turn() -> None:
    engine = RecurrentEngine()
    batch, prompt = batch_of(engine, PLENTY), tokens_of(300)
    for n_turn in range(4):
        done = answered(batch, prompt)
        assert done.n_reused == (len(prompt) - 40 - 1 if n_turn else 0)
        assert done.ids == alone(prompt)
        prompt = [*done.ids, *range(10 + n_turn, 50 + n_turn)]


def test_a_turn_that_leaves_out_what_was_said_behind_the_last_message_goes_on_from_its_end() -> (
    None
):
    """As chats do whose template takes thoughts out; side requests share the first message."""
    engine = RecurrentEngine()
    batch, system = batch_of(engine, PLENTY), [*tokens_of(200), END]
    talk = [*system, *tokens_of(700)[201:], END]
    n_known = 0
    for n_turn in range(4):
        n_before = engine.n_computed
        done = answered(batch, [*talk, 5, 6, 7])
        assert done.ids == alone([*talk, 5, 6, 7])
        if n_turn:
            assert done.n_reused == n_known
            assert engine.n_computed - n_before < len(talk) + 3 - n_known + 6
        side = answered(batch, [*system, *range(9 + n_turn, 90)])
        assert side.n_reused == len(system)
        n_known = len(talk)
        talk = [*talk, 5, 8, *done.tokens, END, *range(20 + n_turn, 70), END]


def test_where_prompts_have_parted_the_next_one_goes_on() -> None:
    batch, prompt = batch_of(RecurrentEngine(), PLENTY), tokens_of(1200)
    assert answered(batch, prompt).n_reused == 0
    reused = []
    for i in range(3):
        changed = [*prompt[:1100], 5 + i, *prompt[1101:]]
        done = answered(batch, changed)
        reused.append(done.n_reused)
        assert done.ids == alone(changed)
    assert reused == [1024, 1100, 1100]  # two steps are SNAPSHOT_DISTANCE


def test_guesses_are_verified_and_those_that_are_wrong_are_taken_back() -> None:
    """As far as they were right they are done once more, by the next step."""
    prompt, n = tokens_of(200), 40
    expected = alone(prompt, n)
    for wrong in ((), (3,), (0, 1, 2, 9, 30)):
        guesses = expected[len(prompt) :]
        for at in wrong:
            guesses[at] = (guesses[at] + 1) % N_VOCAB
        engine = RecurrentEngine()
        batch = batch_of(engine, PLENTY)
        batch.speculation._costs.seconds = lambda n_rows: 1.0  # type: ignore[method-assign]
        done = answered(batch, prompt, n, drafter=Drafter(guesses, ()))
        assert done.ids == expected
        assert done.n_drafted >= done.n_accepted > 20 and (engine.n_replayed > 0 or not wrong)
        assert engine.n_computed == len(prompt) + n - 1 + done.n_drafted - done.n_accepted
        again = answered(batch, [*done.ids, 7, 7, 7])
        assert again.ids == alone([*done.ids, 7, 7, 7])
        assert again.n_reused >= len(prompt)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_draft_model_of_the_kind_guesses(seed: int) -> None:
    """The same model, which is right, and another one."""
    engine, guest, prompt = RecurrentEngine(), RecurrentEngine(seed), tokens_of(200)
    draft = DraftModel(guest, engine, 1 << 24)  # type: ignore[arg-type]
    batch = RunningBatch(engine, PromptMemory(engine, PLENTY), draft)  # type: ignore[arg-type]
    batch.speculation._costs.seconds = lambda n_rows: 1.0  # type: ignore[method-assign]
    draft.costs.seconds = lambda n_rows: 0.01  # type: ignore[method-assign]
    done = answered(batch, prompt, 40, drafter=Drafter())
    assert done.ids == alone(prompt, 40)
    assert done.n_accepted > 20 if seed == 1 else done.n_drafted > done.n_accepted


def test_what_steps_back_further_than_guesses_is_computed_again() -> None:
    prompt, tokenizer = tokens_of(300), Vocabulary()

    def drawn(bounds: Bounds, *banned: str) -> TextRequest:
        params, shown = (
            SamplingParams(max_tokens=20, temperature=1.0, seed=1),
            ShownText(banned=banned),
        )
        request = TextRequest(tokenizer, prompt, params, 1000, shown=shown)  # type: ignore[arg-type]
        Caller(request)
        batch = batch_of(RecurrentEngine(), bounds)
        batch.add(request)
        run(batch)
        assert request.error is None
        return request

    free = drawn(PLENTY)
    banned = free.text[30:50]
    known, fresh = drawn(PLENTY, banned), drawn(Bounds(), banned)
    assert known.tokens == fresh.tokens and banned not in known.text
    assert known.tokens[:5] == free.tokens[:5] and len(known.tokens) == 20


@pytest.mark.parametrize("n_blocks", [3, 5])
def test_with_little_memory_snapshots_and_requests_give_way(n_blocks: int) -> None:
    """A running request has two blocks, of 24 pages each."""
    engine = RecurrentEngine(state_nbytes=24 * PAGE_SIZE)
    engine.pages.max_nbytes = n_blocks * 24 * PAGE_SIZE
    batch = batch_of(engine, PLENTY)
    prompts = [tokens_of(600), tokens_of(901), [*tokens_of(500), 7], tokens_of(1100)]
    requests = [request_for(prompt, 9, drafter=Drafter()) for prompt in prompts]
    Caller(*requests)
    for request in requests:
        batch.add(request)
    while not batch.is_idle:
        batch.step()
        assert engine.pages.nbytes <= engine.pages.max_nbytes
    for request, prompt in zip(requests, prompts, strict=True):
        assert request.error is None and request.ids == alone(prompt, 9)


def test_a_bound_that_holds_no_snapshot_is_a_word(caplog: pytest.LogCaptureFixture) -> None:
    batch_of(RecurrentEngine(state_nbytes=24 * PAGE_SIZE), Bounds(20 * PAGE_SIZE))
    assert "prompt_cache_bytes" in caplog.text
    caplog.clear()
    batch_of(RecurrentEngine(), Bounds(20 * PAGE_SIZE))
    batch_of(RecurrentEngine(state_nbytes=24 * PAGE_SIZE), Bounds(0))
    assert not caplog.text


def test_what_lost_its_memory_goes_on_from_a_snapshot() -> None:
    engine = RecurrentEngine()
    batch, prompt = batch_of(engine, PLENTY), tokens_of(600)
    request = request_for(prompt)
    batch.add(request)
    while len(request.ids) < len(prompt) + 3:
        batch.step()
    batch._preempt(request)
    run(batch)
    assert engine.n_computed == len(prompt) + 5  # nothing twice: it was remembered where it was
    assert request.ids == alone(prompt)
