"""Remembered prompts give way to running requests, and serve those who come next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import small_models
from scripted import Caller, batch_of, numbered_request

from halfbyte.engine.engine import Span
from halfbyte.engine.kv_cache import KVCache
from halfbyte.errors import OutOfPagesError
from halfbyte.generation.prompt_memory import Bounds, PromptMemory
from halfbyte.generation.request import Request
from halfbyte.generation.running_batch import RunningBatch
from halfbyte.kernels.layouts.kv_pages import PAGE
from halfbyte.kernels.pool import Pool


@pytest.fixture(scope="module")
def engine(threads: Pool) -> Any:
    model = small_models.build(small_models.SHAPES["Q8_0"], threads)
    made = model.engine(Pool(2))
    made.tokens = model.tokens
    return made


def ask(batch: RunningBatch, request: Request) -> Request:
    Caller(request)
    batch.add(request)
    while not batch.is_idle:
        batch.step()
    assert request.error is None
    return request


def test_a_prompt_that_is_known_costs_its_last_token(engine: Any) -> None:
    batch = batch_of(engine, Bounds(nbytes=20 * engine.layout.page_nbytes))
    first = ask(batch, numbered_request(2, engine.tokens(300), 8))
    again = ask(batch, numbered_request(2, engine.tokens(300), 8))
    assert (first.n_reused, again.n_reused) == (0, 299)
    assert again.ids == first.ids
    longer = ask(batch, numbered_request(1, [*again.ids, 5, 6], 3))
    # The last token of an answer is never computed.
    assert longer.n_reused == len(again.ids) - 1
    assert longer.stats().n_reused == longer.n_reused


def test_a_short_difference_near_the_beginning_is_told(engine: Any) -> None:
    batch, tokens = (
        batch_of(engine, Bounds(nbytes=20 * engine.layout.page_nbytes)),
        engine.tokens(300),
    )
    ask(batch, numbered_request(1, tokens, 2))
    other = [*tokens[:20], (tokens[20] + 1) % 333, *tokens[21:]]
    stats = ask(batch, numbered_request(1, other, 2)).stats()
    assert stats.n_reused == 20 and "at position 20, for 1 tokens" in stats.mismatch


def test_what_is_given_up_is_remembered_too(engine: Any) -> None:
    batch = batch_of(engine, Bounds(nbytes=20 * engine.layout.page_nbytes))
    request = numbered_request(1, engine.tokens(600), 8)
    Caller(request)
    batch.add(request)
    batch.step()
    request.is_cancelled = True
    batch.drop_unwanted()
    assert ask(batch, numbered_request(1, engine.tokens(600), 8)).n_reused == 256


def test_guesses_that_nobody_looked_at_are_not_remembered(engine: Any) -> None:
    """An answer that is given up within a step of others has guesses behind its ids."""
    nbytes = 20 * engine.layout.page_nbytes
    tokens = engine.tokens(2 * PAGE - 4)
    for n_guesses in (2, 4, 60):  # within the last page, at its end, and a page further
        batch, request = batch_of(engine, Bounds(nbytes=nbytes)), numbered_request(1, tokens, 9)
        request.sequence = engine.new_sequence()
        engine.forward([Span(request.sequence, tokens, 1)])
        engine.forward([Span(request.sequence, engine.tokens(n_guesses, seed=5), 0)])
        batch._memory.keep(request)
        assert [node.end for node in batch._memory._cache.nodes()] == [PAGE, len(tokens)]
        again = ask(batch, numbered_request(1, [*tokens, 7, 8], 5))
        alone = ask(batch_of(engine), numbered_request(1, [*tokens, 7, 8], 5))
        assert (again.n_reused, again.ids) == (len(tokens), alone.ids)


class NoHash:
    """Of a model whose files are not read yet."""

    def get(self, timeout: float | None = 0) -> None:
        return None


def test_what_cannot_be_kept_is_a_word(
    engine: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bounds, files = Bounds(20 * engine.layout.page_nbytes, folder=tmp_path), NoHash()
    memory = PromptMemory(engine, bounds, files)  # type: ignore[arg-type]
    memory.close()
    assert not caplog.text  # there was nothing to keep
    ask(RunningBatch(engine, memory), numbered_request(1, engine.tokens(300), 2))
    memory.close()
    assert "not kept" in caplog.text and str(tmp_path) in caplog.text


def test_guesses_that_cannot_be_cut_off_are_not_remembered(
    engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And whoever keeps them goes on."""
    batch = batch_of(engine, Bounds(nbytes=20 * engine.layout.page_nbytes))
    request = numbered_request(1, engine.tokens(20), 9)
    request.sequence = engine.new_sequence()
    engine.forward([Span(request.sequence, engine.tokens(25), 1)])

    def cut(cache: KVCache, n: int) -> KVCache:
        raise OutOfPagesError(1, 1)

    monkeypatch.setattr(KVCache, "cut", cut)
    batch._memory.keep(request)
    assert list(batch._memory._cache.nodes()) == []


def test_all_rows_of_logits_are_computed(engine: Any) -> None:
    batch = batch_of(engine, Bounds(nbytes=20 * engine.layout.page_nbytes))
    rows = [ask(batch, numbered_request(0, engine.tokens(300), 1)).logits for _ in range(2)]
    assert (rows[0] == rows[1]).all()


def test_remembered_prompts_give_way_to_running_requests(engine: Any) -> None:
    """There is memory for four pages: one prompt, or what is remembered of another."""
    nbytes = engine.layout.page_nbytes
    room = lambda: (256 << 20) + 4 * nbytes - engine.pages.nbytes  # noqa: E731
    batch = batch_of(engine, Bounds(nbytes=4 * nbytes, available=room))
    first = ask(batch, numbered_request(1, engine.tokens(3 * PAGE), 8))
    other = ask(batch, numbered_request(1, engine.tokens(4 * PAGE - 20, seed=1), 8))
    assert other.n_reused == 0 and len(other.ids) == 4 * PAGE - 12
    assert ask(batch, numbered_request(1, engine.tokens(3 * PAGE), 8)).ids == first.ids
    assert engine.pages.nbytes <= 4 * nbytes
    engine.pages.max_nbytes = None


def test_nothing_is_remembered_without_room(engine: Any) -> None:
    batch = batch_of(engine)
    requests = [ask(batch, numbered_request(1, engine.tokens(300), 2)) for _ in range(2)]
    assert [r.n_reused for r in requests] == [None, None] and engine.pages.nbytes == 0
