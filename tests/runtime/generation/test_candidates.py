"""Several answers to a prompt: the same as alone, and the best of them."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

import halfbyte
from halfbyte.generation.candidates import MAX_CANDIDATES, Candidates
from halfbyte.generation.sampler import log_softmax

PROMPT = "def add(a, b):\n    ret"
DRAWN: dict[str, Any] = {"temperature": 1.0, "max_tokens": 6}


@pytest.fixture(scope="module")
def forgetful() -> Iterator[halfbyte.Model]:
    """A model that remembers no prompts."""
    with halfbyte.load("infill-10m", threads=2, prompt_cache_bytes=0) as model:
        yield model


def ids(answers: Any) -> Any:
    return [ids(a) for a in answers] if isinstance(answers, list) else answers.tokens


def test_each_is_what_its_seed_gives_alone(
    forgetful: halfbyte.Model, infill_model: halfbyte.Model
) -> None:
    three = forgetful.complete(PROMPT, n=3, seed=7, **DRAWN)
    assert ids(three[:1]) == ids([forgetful.complete(PROMPT, seed=7, **DRAWN)])
    assert ids(three) == ids(forgetful.complete(PROMPT, n=5, seed=7, **DRAWN)[:3])
    assert ids(three) == ids(infill_model.complete(PROMPT, n=3, seed=7, speculate=False, **DRAWN))
    alone = [forgetful.complete(PROMPT, seed=one.seed, **DRAWN) for one in three]
    assert ids(alone) == ids(three) and len({tuple(one.tokens) for one in three}) == 3
    lists = forgetful.complete([PROMPT, "x = "], n=3, seed=6, **DRAWN)
    assert ids(lists[1]) == ids(forgetful.complete("x = ", n=3, seed=7, **DRAWN))
    assert len({one.seed for one in three}) == 3 and three[0].seed == 7


def test_awaited_they_are_the_same(infill_model: halfbyte.Model) -> None:
    drawn = infill_model.complete(PROMPT, n=3, seed=7, **DRAWN)
    awaited = asyncio.run(infill_model.acomplete(PROMPT, n=3, seed=7, **DRAWN))
    assert ids(awaited) == ids(drawn)
    seeds = [halfbyte.SamplingParams(seed=7).of_candidate(j).seed for j in range(3)]
    assert [one.seed for one in drawn] == seeds


def test_the_prompt_is_computed_once_though_nothing_is_remembered(
    forgetful: halfbyte.Model,
) -> None:
    ids = forgetful.tokenizer.encode("x = 1\n" * 40)
    drawn = forgetful.complete(ids, n=4, **DRAWN)
    assert [one.stats.n_reused for one in drawn] == [0, *[len(ids) - 1] * 3]


def test_without_a_seed_all_come_from_one_that_was_drawn(infill_model: halfbyte.Model) -> None:
    drawn = infill_model.complete(PROMPT, n=3, **DRAWN)
    assert ids(drawn) == ids(infill_model.complete(PROMPT, n=3, seed=drawn[0].seed, **DRAWN))


def test_the_best_are_the_likeliest_a_token(infill_model: halfbyte.Model) -> None:
    how: dict[str, Any] = {"seed": 3, "heal": False, **DRAWN}
    every = infill_model.complete(PROMPT, n=6, **how)
    best = infill_model.complete(PROMPT, n=2, best_of=6, **how)
    one = infill_model.complete(PROMPT, best_of=6, **how)
    assert isinstance(one, halfbyte.Completion) and one.tokens == best[0].tokens
    prompt = infill_model.tokenizer.encode(PROMPT)

    def mean(answer: halfbyte.Completion) -> float:
        tokens = [*prompt, *answer.tokens]
        rows = infill_model.logits(tokens[:-1])[len(prompt) - 1 :]
        return sum(
            float(log_softmax(row)[token])
            for row, token in zip(rows, answer.tokens, strict=True)
        ) / len(answer.tokens)  # fmt: skip

    assert all(answer.finish_reason == "length" for answer in every)
    expected = sorted(map(mean, every), reverse=True)
    assert [answer.score for answer in best] == pytest.approx(expected[:2], rel=1e-12)
    assert every[0].score is None


def test_middles_and_chats_too(infill_model: halfbyte.Model) -> None:
    drawn = infill_model.infill("import nu", "\nx = 1\n", n=2, seed=1, **DRAWN)
    one = infill_model.infill("import nu", "\nx = 1\n", seed=1, **DRAWN)
    assert ids(drawn[:1]) == [one.tokens] and isinstance(drawn[1], halfbyte.Infilling)
    best = infill_model.infill("import nu", "\nx = 1\n", n=1, best_of=3, seed=1, **DRAWN)
    assert best[0].mean_probability is None and best[0].score is not None
    both = infill_model.infill("import nu", best_of=2, seed=1, suffix="", confidence=True, **DRAWN)
    assert both.mean_probability is not None and both.score is not None
    assert math.log(both.mean_probability) == pytest.approx(both.score)


def test_at_temperature_0_a_word_says_that_all_are_alike(
    infill_model: halfbyte.Model, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        drawn = infill_model.complete(PROMPT, n=2, max_tokens=3)
    assert drawn[0].tokens == drawn[1].tokens and "all 2 candidates are alike" in caplog.text


def test_when_time_is_over_what_there_is_has_the_same_shape(infill_model: halfbyte.Model) -> None:
    with pytest.raises(halfbyte.RequestTimeoutError) as caught:
        infill_model.complete(["a", "b"], n=2, timeout=1e-6, temperature=1.0)
    parts = caught.value.completion
    assert [len(part) for part in parts] == [2, 2] and parts[1][1].finish_reason == "timeout"


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"n": 0}, "n"), ({"n": MAX_CANDIDATES + 1}, "n"), ({"n": 1.5}, "n"), ({"n": True}, "n"),
        ({"n": math.nan}, "n"), ({"n": "2"}, "n"), ({"n": 10**5000}, "n"),
        ({"n": 3, "best_of": 2}, "best_of"), ({"best_of": 0}, "best_of"),
        ({"best_of": MAX_CANDIDATES + 1}, "best_of"), ({"best_of": [2]}, "best_of"),
    ],
)  # fmt: skip
def test_bad_counts(given: dict[str, Any], param: str) -> None:
    with pytest.raises(halfbyte.RequestError) as caught:
        Candidates.split(given)
    assert caught.value.param == param


def test_calls_without_a_choice_refuse_one(infill_model: halfbyte.Model) -> None:
    for call in (infill_model.stream, infill_model.stream_infill):
        with pytest.raises(halfbyte.RequestError, match=r"^best_of: expected left out"):
            call("a<FILL_ME>", n=1, best_of=2)
    with pytest.raises(halfbyte.RequestError, match=r"^n: expected left out: edit"):
        infill_model.edit("a.py", "x = 1\n", 0, n=2)  # type: ignore[arg-type]


def test_the_best_come_first_and_of_equals_the_first_drawn() -> None:
    answers = [SimpleNamespace(score=s, i=i) for i, s in enumerate((-2.0, -1.0, -1.0, -math.inf))]
    assert [a.i for a in Candidates(n=3, best_of=4).chosen(answers)] == [1, 2, 0]
    assert Candidates(best_of=4).chosen(answers).i == 1
    assert [a.i for a in Candidates(n=4).chosen(answers)] == [0, 1, 2, 3]
