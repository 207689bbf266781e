"""What a draft model has of requests, with real engines: it follows them, and holds no more."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest
import small_models
from recurrent_engine import RecurrentEngine

from halfbyte.cache_scope import scoped
from halfbyte.engine.engine import Span, StepAborted
from halfbyte.generation.params import SamplingParams
from halfbyte.generation.speculation.draft_model import DraftModel, Wish
from halfbyte.generation.speculation.drafter import Drafter
from halfbyte.generation.text_request import TextRequest
from halfbyte.kernels.pool import Pool

NEVER = np.zeros(1, np.int64)
CACHE = 1 << 24


class Vocabulary:
    n_vocab = 64
    eog_ids: frozenset[int] = frozenset()

    def token_bytes(self, token: int) -> bytes:
        return b"%c" % (64 + token)


@pytest.fixture(scope="module")
def small() -> Any:
    with closing(Pool(2)) as pool:
        return small_models.build(small_models.SHAPES["F16"], pool)


@pytest.fixture(scope="module")
def engine(small: Any) -> Iterator[Any]:
    with closing(Pool(2)) as pool:
        made = small.engine(pool)
        yield made
        made.close()


@pytest.fixture
def model(small: Any, engine: Any) -> DraftModel:
    guest = engine.beside(small.config, small.weights, "f32", 400)
    return DraftModel(guest, engine, CACHE)


def asked(small: Any, n: int, seed: int = 0) -> TextRequest:
    tokenizer: Any = Vocabulary()
    params = SamplingParams(max_tokens=100)
    return TextRequest(tokenizer, small.tokens(n, seed), params, 400, drafter=Drafter())


def greedy(engine: Any, ids: list[int], n: int) -> list[int]:
    """What an engine says, by itself."""
    sequence, new, out = engine.new_sequence(), list(ids), []
    for _ in range(n):
        for i in range(0, len(new), 256):
            logits = engine.forward([Span(sequence, new[i : i + 256], 1)])
        new = [int(logits[0].argmax())]
        out += new
    return out


def guess(model: DraftModel, request: TextRequest, n: int, n_rows: int = 256) -> list[int]:
    shadow = model.shadow_of(request)
    assert shadow is not None
    wish = Wish(request, shadow, n_rows, n)
    drafts = model.guess([wish], lambda *_: True, NEVER)
    return drafts[request].ids if drafts else []


def test_it_says_what_it_would_alone_whatever_came_of_its_guesses(
    small: Any, engine: Any, model: DraftModel
) -> None:
    request = asked(small, 150)
    rng = np.random.default_rng(3)
    for i in range(12):
        made = guess(model, request, 1 + i % 5)
        assert made == greedy(engine, request.ids, len(made)) and made
        request.ids += made[: rng.integers(0, len(made) + 1)]
        request.ids += rng.integers(0, 64, i % 3).tolist()


def test_one_whose_states_cannot_be_cut_back_returns_to_where_it_began() -> None:
    engine = RecurrentEngine()
    model, rng = DraftModel(RecurrentEngine(), engine, CACHE), np.random.default_rng(3)  # type: ignore[arg-type]
    tokenizer: Any = Vocabulary()
    ids, params = rng.integers(0, 333, 150).tolist(), SamplingParams(max_tokens=100)
    request = TextRequest(tokenizer, ids, params, 400, drafter=Drafter())
    guest: Any = model.engine
    for i in range(12):
        n_before, n_new = guest.n_computed, len(request.ids)
        made = guess(model, request, 1 + i % 5)
        assert made == greedy(engine, request.ids, len(made)) and made
        assert guest.n_computed - n_before < (20 if i else n_new + 5)
        request.ids += made[: rng.integers(0, len(made) + 1)]
        request.ids += rng.integers(0, 64, i % 3).tolist()
    model.forget(request)
    gc.collect()
    assert guest.pages.nbytes == model._cache.nbytes


def test_a_prompt_is_seen_in_parts(small: Any, engine: Any, model: DraftModel) -> None:
    request = asked(small, 300)
    assert guess(model, request, 4, n_rows=130) == guess(model, request, 4, n_rows=130) == []
    assert guess(model, request, 4, n_rows=130) == greedy(engine, request.ids, 4)


def test_a_prompt_that_another_request_had_is_known(small: Any, model: DraftModel) -> None:
    first, second, later = (asked(small, 300) for _ in range(3))
    shadow = model.shadow_of(second)  # before anything is known
    guess(model, first, 1, n_rows=200)
    guess(model, first, 1, n_rows=200)
    known = model.shadow_of(second)
    assert shadow is known and known is not None and known.sequence.n_past >= 256
    model.forget(first)
    shadow = model.shadow_of(later)
    assert shadow is not None and shadow.sequence.n_past == 299


def test_it_is_known_in_its_scope_alone(small: Any, model: DraftModel) -> None:
    requests = []
    for scope in ("ours", "theirs", "ours"):
        with scoped(scope):
            requests.append(asked(small, 200))
    first, others, ours = requests
    guess(model, first, 1)
    model.forget(first)
    for request, n_known in ((others, 0), (ours, 199)):
        shadow = model.shadow_of(request)
        assert shadow is not None and shadow.sequence.n_past == n_known


def test_guesses_for_several_are_those_for_each(small: Any, engine: Any, model: DraftModel) -> None:
    requests = [asked(small, 20 + i, seed=i) for i in range(3)]
    wishes = [Wish(r, model.shadow_of(r), 64, 2 + i) for i, r in enumerate(requests)]  # type: ignore[arg-type]
    drafts = model.guess(wishes, lambda *_: True, NEVER)
    for i, request in enumerate(requests):
        assert drafts[request].ids == greedy(engine, request.ids, 2 + i)
        assert all(0 < chance <= 1 for chance in drafts[request].chances)


def test_an_abort_leaves_it_usable(small: Any, engine: Any, model: DraftModel) -> None:
    request, set_word = asked(small, 30), np.ones(1, np.int64)
    shadow = model.shadow_of(request)
    assert shadow is not None
    assert model.guess([Wish(request, shadow, 64, 3)], lambda *_: True, set_word) == {}
    assert guess(model, request, 3) == greedy(engine, request.ids, 3)
    with pytest.raises(StepAborted):
        engine.forward([Span(engine.new_sequence(), [1], 1)], set_word)


def test_all_pages_are_given_back(small: Any, model: DraftModel) -> None:
    request, pages = asked(small, 300), model.engine.pages
    guess(model, request, 1)
    assert pages.nbytes > 0
    assert model.give_back() and pages.nbytes == 0
    assert not model.give_back()
    guess(model, request, 1)
    model.forget(request)
    assert 0 < pages.nbytes <= CACHE  # remembered
    model._cache.clear()
    assert pages.nbytes == 0


def test_only_a_half_of_the_memory_is_taken(small: Any, engine: Any) -> None:
    guest = engine.beside(small.config, small.weights, "f32", 400)
    page = guest.layout.page_nbytes
    model = DraftModel(guest, engine, CACHE, lambda: 4 * page)
    assert guess(model, asked(small, 200), 1)
    assert guest.pages.max_nbytes == 2 * page


@pytest.mark.parametrize("is_closed", [True, False])
def test_what_late_workers_may_read_is_kept_of_an_engine_that_is_gone(
    small: Any, is_closed: bool
) -> None:
    """Closing waits for them; what is dropped stays until the pool ends."""
    with closing(Pool(2)) as pool:
        engine = small.engine(pool)
    guest = engine.beside(small.config, small.weights, "f32", 400)
    answer = greedy(guest, [1, 2, 3], 4)
    gone, program = weakref.ref(guest), weakref.ref(guest.program)
    if is_closed:
        guest.close()
    del guest
    gc.collect()
    assert gone() is None and (program() is None) == is_closed
    assert greedy(engine, [1, 2, 3], 4) == answer
    engine.close()
    del engine
    gc.collect()
    assert program() is None


def test_two_engines_share_threads_and_end_together(small: Any) -> None:
    with closing(Pool(2)) as pool:
        engine = small.engine(pool)
    guest = engine.beside(small.config, small.weights, "f32", 400)
    assert guest.pool is engine.pool
    assert greedy(guest, [1, 2, 3], 4) == greedy(engine, [1, 2, 3], 4)
    guest.close()  # the threads are not its own
    assert len(greedy(engine, [1, 2, 3], 2)) == 2
    other = engine.beside(small.config, small.weights, "f32", 400)
    engine.close()
    for closed in (engine, other):
        with pytest.raises(Exception, match="closed"):
            greedy(closed, [1], 1)
