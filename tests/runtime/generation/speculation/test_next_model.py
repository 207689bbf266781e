"""A model's own layer that guesses: what it computes, and that it changes no answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from scripted import Caller

import halfbyte
from halfbyte.engine.engine import Span
from halfbyte.generation.params import SamplingParams
from halfbyte.generation.prompt_memory import Bounds, PromptMemory
from halfbyte.generation.running_batch import RunningBatch
from halfbyte.generation.speculation.draft_model import Wish
from halfbyte.generation.speculation.drafter import Drafter
from halfbyte.generation.speculation.next_model import NextModel
from halfbyte.generation.text_request import TextRequest

Loader = Callable[[str], ModuleType]
KINDS = {
    "glm4_moe": (6, 64, 96, 3, 4, 2, 32),
    "deepseek_v3": (1, 128, 160, 2, 4, 4, 16),
    "qwen3_5_moe_text": (2, 64, 96, 4, 4, 2, 32),
}
NEVER = np.zeros(1, np.int64)
N_CTX = 400


def saved(tiny_llama: ModuleType, folder: Path, kind: str, *, recites: bool = False) -> None:
    """A checkpoint with such a layer; one that `recites` has a next token for each, known to both
    the model and, most of the time, the layer.
    """
    seed, *shape = KINDS[kind]
    tiny = tiny_llama.Tiny("t", seed, *shape, 323, 1e4, tied=False, kind=kind, n_next=1)
    tiny_llama.save(tiny, folder)
    if not recites:
        return
    tensors = load_file(folder / "model.safetensors")
    for name, tensor in tensors.items():
        if name.endswith(("o_proj.weight", "out_proj.weight", "down_proj.weight", "down_proj")):
            tensors[name] = tensor * np.float32(0.02)
        elif "norm" in name:
            tensors[name] = np.full_like(tensor, kind not in tiny_llama.NETS)  # which add 1
        elif name.endswith(
            ("eh_proj.weight", "fc.weight")
        ):  # the embedding, and a little of the state
            eye = np.eye(len(tensor), dtype=np.float32)
            tensors[name] = np.concatenate([eye, 0.1 * eye], axis=1)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.fixture(scope="module", params=KINDS)
def folder(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory,
    benchmark_module: Loader,
) -> Path:  # fmt: skip
    path = tmp_path_factory.mktemp(request.param)
    saved(benchmark_module("tiny_llama"), path / "hf", request.param)
    saved(benchmark_module("tiny_llama"), path / "reciting", request.param, recites=True)
    return path


@contextmanager
def loaded(folder: Path, name: str, **how: Any) -> Iterator[halfbyte.Model]:
    path = folder / f"{name}.gguf"
    if not path.exists():
        halfbyte.convert(folder / name, path, type="f32", measure=False)
    with halfbyte.load(path, threads=2, kv_type="f32", ctx=N_CTX, **how) as model:
        yield model


def asked(model: halfbyte.Model, ids: list[int], n: int = 40, **params: Any) -> TextRequest:
    chosen = SamplingParams(max_tokens=n, **params)
    request = TextRequest(model.tokenizer, ids, chosen, N_CTX, drafter=Drafter())
    Caller(request)
    return request


def ids_of(n: int, seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).integers(3, 323, n).tolist()


def step(model: halfbyte.Model, next_model: NextModel, request: TextRequest) -> None:
    """The model's step of all of a request's ids but the last one."""
    if request.sequence is None:
        request.sequence = model.engine.new_sequence()
    begin = request.sequence.n_past
    for at in range(begin, len(request.ids) - 1, 50):
        span = Span(request.sequence, request.ids[at : len(request.ids) - 1][:50], 0)
        model.engine.forward([span])
        next_model.see([(request, [span])])
        next_model.keep_up(lambda *_: True, NEVER)


def guesses_of(next_model: NextModel, request: TextRequest, n: int) -> np.ndarray:
    """Logits of n guesses."""
    rows, forward = [], next_model._forward

    def noted(*args: Any) -> np.ndarray:
        rows.append(forward(*args).copy())
        return rows[-1]

    next_model._forward = noted  # type: ignore[method-assign]
    shadow = next_model.shadow_of(request)
    assert shadow is not None
    next_model.guess([Wish(request, shadow, 256, n)], lambda *_: True, NEVER)
    del next_model._forward  # type: ignore[misc]
    return np.concatenate(rows)


def test_its_logits_are_the_twins(folder: Path, benchmark_module: Loader) -> None:
    with loaded(folder, "hf") as model:
        next_model, request = model.draft, asked(model, ids_of(110))
        assert isinstance(next_model, NextModel)
        twin = benchmark_module("reference_model").ReferenceModel(folder / "hf.gguf")
        guessed: list[int] = []
        for n_right in (None, 0, 2):  # after the prompt, and where so many guesses came true
            if n_right is not None:
                request.ids += [*guessed[:n_right], *ids_of(2)]
            step(model, next_model, request)
            got, expected = guesses_of(next_model, request, 3), twin.guesses(request.ids, 3)
            assert np.abs(got - expected).max() < 1e-4 * np.abs(expected).max()
            guessed = got.argmax(1).tolist()
        assert model.draft is next_model and "of its own" in repr(model)


@pytest.fixture
def eager() -> Callable[..., RunningBatch]:
    """A batch in which every guess is worth its cost."""

    def make(model: halfbyte.Model, n_known: int) -> RunningBatch:
        memory = PromptMemory(model.engine, Bounds(n_known) if n_known else None)
        guest = model.draft
        draft = guest and NextModel(guest.engine, model.engine, n_known)
        batch = RunningBatch(model.engine, memory, draft)
        batch.speculation._costs.seconds = lambda n_rows: 1.0  # type: ignore[method-assign]
        if draft is not None:
            draft.costs.seconds = lambda n_rows: 0.01  # type: ignore[method-assign]
        return batch

    return make


def answered(batch: RunningBatch, *requests: TextRequest) -> list[list[int]]:
    for request in requests:
        batch.add(request)
    while not batch.is_idle:
        batch.step()
    return [request.tokens for request in requests]


def test_answers_are_the_same_alone_in_batches_and_with_what_is_remembered(
    folder: Path, eager: Callable[..., RunningBatch]
) -> None:
    """Prompts of several steps, drawn answers too, turns that go on from answers."""
    cases: list[tuple[int, dict[str, Any]]] = [
        (300, {}), (5, {"temperature": 0.7, "seed": 3}), (140, {}), (1, {}), (33, {"top_k": 5}),
    ]  # fmt: skip

    def conversation(model: halfbyte.Model, n_known: int) -> tuple[list[list[int]], int, int]:
        batch, said, counts = eager(model, n_known), [], np.zeros(2, int)
        turns = [ids_of(n, seed=n) for n, _ in cases]
        for _ in range(2):
            requests = [
                asked(model, ids, 30, **how) for ids, (_, how) in zip(turns, cases, strict=True)
            ]
            for request, tokens in zip(requests, answered(batch, *requests), strict=True):
                counts += request.n_drafted, request.n_accepted
                said.append(tokens)
            turns = [r.ids + ids_of(20, seed=i) for i, r in enumerate(requests)]
            turns[2] = turns[2][:70] + ids_of(30)  # which leaves what is remembered
        return said, *counts

    with loaded(folder, "reciting", draft=False) as model:
        assert model.draft is None
        expected, n_plain, _ = conversation(model, 0)
    with loaded(folder, "reciting") as model:
        for n_known in (0, 1 << 24):
            said, n_drafted, n_accepted = conversation(model, n_known)
            assert said == expected
            assert n_drafted > n_plain and n_accepted > 0.5 * (n_drafted - n_plain)


def test_what_was_remembered_goes_on(folder: Path, eager: Callable[..., RunningBatch]) -> None:
    """The next turn's guesses see the turns before it; without its memory they see the new ids."""
    with loaded(folder, "reciting") as model:
        batch = eager(model, 1 << 24)
        draft = batch.speculation._asking._model  # type: ignore[union-attr]
        first = asked(model, ids_of(200), 20)
        answered(batch, first)
        seen: list[tuple[int, int]] = []

        def turn(ids: list[int]) -> None:
            request = asked(model, ids, 3)
            batch.add(request)
            while not batch.is_idle:
                batch.step()
                shadow = draft._shadows.get(request)
                if shadow is not None:
                    seen.append((shadow.lead, shadow.sequence.n_past))

        turn(first.ids + ids_of(40, 1))
        lead, n_past = seen[0]
        assert lead == 1 and n_past >= len(first.ids) - 2
        draft.give_back()
        seen.clear()
        turn(first.ids + ids_of(40, 2))
        lead, n_past = seen[-1]
        assert lead > 200 and n_past < 60


def test_prompts_are_read_where_guesses_pay(
    folder: Path, eager: Callable[..., RunningBatch]
) -> None:
    with loaded(folder, "reciting") as model:
        n_rows: list[int] = []
        for n_steps in (0.0, -12.0):
            batch, rows = eager(model, 0), list[int]()
            asking = batch.speculation._asking
            assert asking is not None
            asking.guessing.n_steps, forward = n_steps, asking._model._forward

            def counted(
                wishes: Any, spans: Any, abort: Any, rows: Any = rows, forward: Any = forward
            ) -> Any:
                rows.append(sum(len(span.tokens) for span in spans))
                return forward(wishes, spans, abort)

            asking._model._forward = counted  # type: ignore[method-assign]
            answered(batch, asked(model, ids_of(300), 20))
            n_rows.append(sum(rows))
        assert n_rows[0] >= 300 and n_rows[1] < 120


def test_memory_may_run_out(folder: Path, eager: Callable[..., RunningBatch]) -> None:
    with loaded(folder, "reciting", draft=False) as model:
        expected = answered(eager(model, 0), asked(model, ids_of(150), 40))
    with loaded(folder, "reciting") as model:
        batch = eager(model, 1 << 20)
        assert model.draft is not None
        model.draft.engine.pages.max_nbytes = 0
        draft = batch.speculation._asking._model  # type: ignore[union-attr]
        draft._bound_pages = lambda: None
        assert answered(batch, asked(model, ids_of(150), 40)) == expected


def test_others_may_be_cancelled_and_preempted(
    folder: Path, eager: Callable[..., RunningBatch]
) -> None:
    """Answers give up their pages to each other and are computed again."""
    prompts = [(90, 0), (120, 1), (60, 2), (200, 3)]

    def make(model: halfbyte.Model) -> list[TextRequest]:
        how: list[dict[str, Any]] = [{}, {"temperature": 1.0, "seed": 5}, {}, {}]
        return [asked(model, ids_of(*one), 40, **h) for one, h in zip(prompts, how, strict=True)]

    with loaded(folder, "reciting", draft=False) as model:
        expected = [answered(eager(model, 0), request)[0] for request in make(model)]
    with loaded(folder, "reciting") as model:
        for n_known, cancelled_at in ((0, 9), (1 << 20, 14)):
            batch, requests = eager(model, n_known), make(model)
            model.engine.pages.max_nbytes = 4 * model.engine.layout.page_nbytes
            for request in requests:
                batch.add(request)
            for n_steps in range(1000):
                if batch.is_idle:
                    break
                batch.step()
                if n_steps == cancelled_at:
                    requests[2].is_cancelled = True
                    batch.give_up()
            for request, tokens in zip(requests, expected, strict=True):
                assert request.error is None
                assert request.tokens == tokens[: len(request.tokens)]
            assert [len(requests[i].tokens) for i in (0, 1, 3)] == [
                len(expected[i]) for i in (0, 1, 3)
            ]
            draft = batch.speculation._asking._model  # type: ignore[union-attr]
            assert not draft._trails and not draft._shadows


def test_users_have_it_by_default(folder: Path) -> None:
    ids = ids_of(60)
    with loaded(folder, "reciting", draft=False) as plain, loaded(folder, "reciting") as model:
        expected = plain.complete(ids, max_tokens=60)
        assert model.complete(ids, max_tokens=60, speculate=False).tokens == expected.tokens
        assert model.complete(ids, max_tokens=60).tokens == expected.tokens
        twice = model.complete([ids, ids[:30]], max_tokens=20)
        assert twice[0].tokens == expected.tokens[:20]
