"""A search's branches are forks, which may be given up and come back; what is asked with it."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import numpy as np
import pytest
from scripted import Caller

import halfbyte
from halfbyte.generation import request as request_module
from halfbyte.generation import running_batch
from halfbyte.generation.beams.beam_answers import beam_request
from halfbyte.generation.beams.beam_request import BeamRequest
from halfbyte.generation.beams.beams import MAX_BEAMS, Beams
from halfbyte.generation.params import SamplingParams
from halfbyte.generation.prompt_memory import PromptMemory
from halfbyte.generation.running_batch import RunningBatch
from halfbyte.generation.text_request import TextRequest

PROMPT = "import numpy as np\n\n\ndef mean(x):\n    return"
HOW: dict[str, Any] = {"num_beams": 4, "max_tokens": 6}
Told = list[tuple[list[int], float | None]]


@pytest.fixture(scope="module")
def wanted(infill_model: halfbyte.Model) -> Told:
    return told(infill_model.complete(PROMPT, n=4, **HOW))


def told(found: list[halfbyte.Completion]) -> Told:
    return [(one.tokens, one.score) for one in found]


def request_of(model: halfbyte.Model, **more: Any) -> BeamRequest:
    request = beam_request(
        model.tokenizer, model.tokenizer.encode(PROMPT), SamplingParams(max_tokens=6), model.n_ctx,
        Beams(num_beams=4), **more,
    )  # fmt: skip
    caller: Any = Caller
    caller(request)
    return request


@pytest.fixture
def search(infill_model: halfbyte.Model) -> BeamRequest:
    return request_of(infill_model)


def batch_of(model: halfbyte.Model) -> RunningBatch:
    return RunningBatch(model.engine, PromptMemory(model.engine))  # while the scheduler is idle


def test_branches_share_the_prompts_pages_and_each_step(
    infill_model: halfbyte.Model, search: BeamRequest, wanted: Told
) -> None:
    batch = batch_of(infill_model)
    batch.add(search)
    batch.step()
    steps = []
    while not batch.is_idle:
        steps.append(search.n_wanted)
        batch.step()
    assert steps == [4] * 5 and told(search.result()) == wanted
    assert search.sequence is None and not search._branches and not search._parents


@pytest.mark.parametrize("n_steps", [1, 2, 4])
def test_what_was_given_up_is_computed_again(
    infill_model: halfbyte.Model, search: BeamRequest, wanted: Told, n_steps: int
) -> None:
    batch = batch_of(infill_model)
    batch.add(search)
    for _ in range(n_steps):
        batch.step()
    batch._preempt(search)
    assert not search._branches and not search._parents
    while not batch.is_idle:
        batch.step()
    assert told(search.result()) == wanted


def test_branches_that_are_computed_again_leave_others_steps_short(
    infill_model: halfbyte.Model,
    search: BeamRequest,
    wanted: Told,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(request_module, "_SHORT", 4)
    batch, model = batch_of(infill_model), infill_model
    monkeypatch.setattr(batch._pace, "n_beside", lambda *_: 3)
    other = TextRequest(model.tokenizer, [5], SamplingParams(max_tokens=40), model.n_ctx)
    caller: Any = Caller
    caller(other)
    batch.add(search)
    for _ in range(4):
        batch.step()
    assert search.is_urgent
    batch.add(other)
    batch.step()
    batch._preempt(search)
    n_rows, forward = [], model.engine.forward

    def counted(spans: Any, *more: Any) -> Any:
        n_rows.append(sum(len(span.tokens) for span in spans))
        return forward(spans, *more)

    monkeypatch.setattr(model.engine, "forward", counted)
    while search.n_generated < 6 and not batch.is_idle:
        batch.step()
    assert max(n_rows) <= 5 and n_rows.count(4) > 3  # alone, a round has 4
    monkeypatch.undo()
    while not batch.is_idle:
        batch.step()
    assert told(search.result()) == wanted


@pytest.mark.parametrize("room", [1, 3])
def test_rounds_may_take_several_steps(
    infill_model: halfbyte.Model,
    search: BeamRequest,
    wanted: Told,
    room: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(running_batch, "MAX_BATCH", room)
    batch = batch_of(infill_model)
    batch.add(search)
    for _ in range(-(-search.n_prompt // room) + 3):
        batch.step()
    batch._preempt(search)  # with some rows of a round
    while not batch.is_idle:
        batch.step()
    assert told(search.result()) == wanted


@pytest.mark.parametrize(("n_pages", "fits"), [(9, True), (3, False)])
def test_without_memory_for_its_branches_it_fails_alone(
    infill_model: halfbyte.Model, search: BeamRequest, wanted: Told, n_pages: int, fits: bool
) -> None:
    engine = infill_model.engine
    gc.collect()  # what other tests' batches remember counts as taken until then
    pages, before = engine.pages, engine.pages.max_nbytes
    pages.max_nbytes = pages.nbytes + n_pages * engine.layout.page_nbytes
    batch = batch_of(infill_model)
    try:
        batch.add(search)
        while not batch.is_idle:
            batch.step()
    finally:
        pages.max_nbytes = before
    if fits:
        assert told(search.result()) == wanted
    else:
        assert isinstance(search.error, halfbyte.OutOfPagesError)
    assert told(infill_model.complete(PROMPT, n=4, **HOW)) == wanted


def test_others_beside_it_change_nothing(infill_model: halfbyte.Model, wanted: Told) -> None:
    beside = infill_model.complete(["x = 1\ny", PROMPT, "def f"], n=4, **HOW)
    assert told(beside[1]) == wanted
    with halfbyte.load("infill-10m", threads=1, prompt_cache_bytes=0) as other:
        assert told(other.complete(PROMPT, n=4, **HOW)) == wanted
    assert told(asyncio.run(infill_model.acomplete(PROMPT, n=4, **HOW))) == wanted
    one = infill_model.complete(PROMPT, **HOW)
    assert told([one]) == wanted[:1] and one.seed is None
    assert one.text == infill_model.tokenizer.decode(one.tokens, strip_prefix_space=False)


def test_penalties_are_of_log_probabilities(infill_model: halfbyte.Model, wanted: Told) -> None:
    found = infill_model.complete(PROMPT, n=4, presence_penalty=2.0, **HOW)
    assert told(found) != wanted and len(set(found[0].tokens)) > len(set(wanted[0][0])) - 1


class Once:
    """Forbids a token that came already, and all tokens after `n_most`."""

    def __init__(self, n_most: int) -> None:
        self.n_most, self.seen = n_most, list[int]()

    def change(self, row: Any) -> None:
        row[self.seen if len(self.seen) < self.n_most else slice(None)] = -np.inf

    def accept(self, token: int) -> None:
        self.seen.append(token)

    def fork(self) -> Once:
        made = Once(self.n_most)
        made.seen += self.seen
        return made


def test_each_branch_has_rules_of_its_own(infill_model: halfbyte.Model, wanted: Told) -> None:
    request = request_of(infill_model, make_rules=lambda: [Once(9)])
    infill_model.run([request])
    found = told(request.result())
    assert found != wanted and all(len(set(tokens)) == len(tokens) for tokens, _ in found)
    for tokens, score in found:
        prompt = infill_model.tokenizer.encode(PROMPT)
        total = infill_model.score(prompt, tokens).logprob
        assert len(tokens) < 6 or score == pytest.approx(total / 6, rel=1e-5)
    nothing = request_of(infill_model, make_rules=lambda: [Once(2)])
    infill_model.run([nothing])
    assert all(len(tokens) <= 2 for tokens, _ in told(nothing.result()))


def test_time_that_is_over_leaves_the_best_so_far(infill_model: halfbyte.Model) -> None:
    with pytest.raises(halfbyte.RequestTimeoutError) as caught:
        infill_model.complete(PROMPT, n=2, num_beams=4, max_tokens=400, timeout=0.05)
    found = caught.value.completion
    assert found[0].finish_reason == "timeout" and 0 < len(found) <= 2
    with pytest.raises(halfbyte.RequestTimeoutError) as caught:
        infill_model.complete(PROMPT, num_beams=4, timeout=1e-9)
    assert caught.value.completion.finish_reason == "timeout"


def test_a_chat_is_searched_without_being_asked_not_to_draw(
    infill_model: halfbyte.Model, wanted: Told
) -> None:
    messages = [{"role": "user", "content": "a"}]
    with pytest.raises(halfbyte.UnsupportedModelError):  # the file has no template: no other error
        infill_model.chat(messages, num_beams=2)
    with pytest.raises(halfbyte.RequestError, match=r"^temperature: expected 0 with num_beams"):
        infill_model.chat(messages, num_beams=2, temperature=0.5, format="llama-2")


def test_a_full_context_is_a_reason(infill_model: halfbyte.Model) -> None:
    ids = [5] * (infill_model.n_ctx - 2)
    found = infill_model.complete(ids, n=2, num_beams=2, max_tokens=9)
    assert {one.finish_reason for one in found} <= {"context", "stop"}


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"num_beams": 0}, "num_beams"), ({"num_beams": MAX_BEAMS + 1}, "num_beams"),
        ({"num_beams": 2.0}, "num_beams"), ({"num_beams": True}, "num_beams"),
        ({"num_beams": 4, "num_beam_groups": 3}, "num_beam_groups"),
        ({"num_beams": 4, "num_beam_groups": 2}, "diversity_penalty"),
        ({"num_beams": 4, "diversity_penalty": 0.5}, "diversity_penalty"),
        ({"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": float("nan")},
         "diversity_penalty"),
        ({"num_beams": 4, "length_penalty": float("inf")}, "length_penalty"),
        ({"num_beams": 4, "length_penalty": 10**5000}, "length_penalty"),
        ({"num_beams": 4, "early_stopping": "always"}, "early_stopping"),
        ({"num_beams": 4, "early_stopping": 1}, "early_stopping"),
        ({"length_penalty": 2.0}, "length_penalty"), ({"early_stopping": True}, "early_stopping"),
        ({"num_beams": 4, "n": 5}, "n"), ({"num_beams": 4, "best_of": 4}, "best_of"),
        ({"num_beams": 4, "temperature": 1.0}, "temperature"),
        ({"num_beams": 4, "max_tokens": 0}, "max_tokens"),
        ({"num_beams": 4, "stop_tokens": [10**6]}, "stop_tokens"),
        ({"num_beams": 4, "banned_strings": ["a"]}, "banned_strings"),
        ({"num_beams": 4, "syntax": "python"}, "syntax"),
    ],
)  # fmt: skip
def test_bad_searches(infill_model: halfbyte.Model, given: dict[str, Any], name: str) -> None:
    with pytest.raises(halfbyte.RequestError) as caught:
        infill_model.complete(PROMPT, **given)
    assert caught.value.param == name


def test_calls_without_a_search(infill_model: halfbyte.Model) -> None:
    for call in (infill_model.stream, infill_model.stream_infill):
        with pytest.raises(halfbyte.RequestError, match=r"^num_beams: .*is known at its end"):
            call("a<FILL_ME>", num_beams=2)
