"""halfbyte.generation.sampler: each step against numbers worked out by hand or by a slow twin."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from halfbyte.errors import EngineError, RequestError
from halfbyte.generation import sampler as sampling
from halfbyte.generation.params import SamplingParams
from halfbyte.generation.sampler import Sampler, log_softmax


def logits_of(*values: float) -> sampling.F32:
    return np.array(values, np.float32)


# --- parameters -------------------------------------------------------------------------------


def test_defaults() -> None:
    p = SamplingParams()
    assert (p.max_tokens, p.temperature, p.top_k, p.top_p, p.min_p) == (128, 0.0, 0, 1.0, 0.0)
    assert (p.repetition_penalty, p.presence_penalty, p.frequency_penalty) == (1.0, 0.0, 0.0)
    assert (p.seed, p.stop, p.stop_tokens) == (None, (), ())
    assert p.is_greedy and not p.has_penalties


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, value) for name in ("max_tokens", "top_k", "seed") for value in
          (-1, 1.0, True, "1", math.nan, [1])],
        *[(name, value) for name in ("temperature", "top_p", "min_p", "repetition_penalty")
          for value in (-0.1, math.nan, math.inf, -math.inf, True, "1", None, 1j, 10**400)],
        *[(name, value) for name in ("presence_penalty", "frequency_penalty")
          for value in (-2.1, 2.1, math.nan, math.inf, False, "0")],
        ("max_tokens", None), ("top_k", None), ("top_p", 1.1), ("min_p", 1.1),
        ("repetition_penalty", 0.0),
        ("stop", ""), ("stop", ["a", ""]), ("stop", [1]), ("stop", b"a"), ("stop", None),
        ("stop", {"a": 1}), ("stop_tokens", 5), ("stop_tokens", "5"), ("stop_tokens", [-1]),
        ("stop_tokens", [True]), ("stop_tokens", [1.0]),
    ],
)  # fmt: skip
def test_bad_values_name_the_parameter(name: str, value: Any) -> None:
    with pytest.raises(RequestError) as caught:
        SamplingParams(**{name: value})
    assert caught.value.param == name
    assert caught.value.expected


def test_unknown_names_are_errors_with_the_nearest() -> None:
    with pytest.raises(RequestError, match="did you mean temperature") as caught:
        SamplingParams.from_kwargs(temprature=1.0)
    assert caught.value.param == "temprature"
    with pytest.raises(RequestError, match="known are max_tokens, temperature"):
        SamplingParams.from_kwargs(zzz=1.0)


def test_values_become_plain() -> None:
    p = SamplingParams.from_kwargs(
        max_tokens=np.int64(3), temperature=np.float32(0.5), top_p=1, stop="end", stop_tokens=[7]
    )
    assert (type(p.max_tokens), type(p.temperature), type(p.top_p)) == (int, float, float)
    assert (p.stop, p.stop_tokens) == (("end",), (7,))
    assert SamplingParams(stop=["a", "b"]).stop == ("a", "b")  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        p.seed = 1  # type: ignore[misc]


# --- steps ------------------------------------------------------------------------------------


def test_repetition_penalty_by_hand() -> None:
    x = logits_of(2.0, -2.0, 0.0, 5.0)
    out = sampling.penalize_repetition(x, np.array([0, 1, 2]), 2.0)
    assert out.tolist() == [1.0, -4.0, 0.0, 5.0]
    assert x.tolist() == [2.0, -2.0, 0.0, 5.0]


def test_count_penalties_by_hand() -> None:
    x = logits_of(1.0, 1.0, 1.0)
    counts = np.array([1, 3], np.int32)
    out = sampling.penalize_counts(x, np.array([0, 2]), counts, 0.5, 0.25)
    assert out.tolist() == [1.0 - 0.5 - 0.25, 1.0, 1.0 - 0.5 - 0.75]
    assert x.tolist() == [1.0, 1.0, 1.0]


def test_softmax_by_hand() -> None:
    probs = sampling.softmax(logits_of(math.log(1), math.log(2), math.log(5)), 1.0)
    assert probs == pytest.approx([1 / 8, 2 / 8, 5 / 8], rel=1e-6)
    halved = sampling.softmax(logits_of(0.0, math.log(3)), 0.5)
    assert halved == pytest.approx([1 / 10, 9 / 10], rel=1e-6)


@pytest.mark.parametrize("temperature", [5e-324, 1e-30, 1e300])
def test_softmax_at_extreme_temperatures(temperature: float) -> None:
    probs = sampling.softmax(logits_of(-3e38, 3e38, 0.0, -np.inf), temperature)
    assert np.isfinite(probs).all() and probs.sum() == pytest.approx(1.0)
    assert probs[1] == probs.max()


def test_top_k_by_hand() -> None:
    x = logits_of(1.0, 5.0, 3.0, 5.0, 4.0)
    assert sampling.top_k_indices(x, 1).tolist() == [1]
    assert sampling.top_k_indices(x, 3).tolist() == [1, 3, 4]
    assert sampling.top_k_indices(x, 9).tolist() == [0, 1, 2, 3, 4]
    assert sampling.top_k_indices(logits_of(7, 7, 7, 7), 2).tolist() == [0, 1]
    masked = logits_of(-np.inf, 2, -np.inf, 1, 3, -np.inf)
    assert [sampling.top_k_indices(masked, k).tolist() for k in (2, 3, 4)] == [
        [1, 4], [1, 3, 4], [0, 1, 3, 4],
    ]  # fmt: skip


def test_top_p_by_hand() -> None:
    probs = np.array([0.125, 0.5, 0.25, 0.125])

    def kept(p: float) -> list[int]:
        indices = sampling.top_p_indices(probs, p)
        return [] if indices is None else indices.tolist()

    assert (kept(0.0), kept(0.5), kept(0.51), kept(0.75)) == ([1], [1], [1, 2], [1, 2])
    assert (kept(0.76), kept(0.9)) == ([0, 1, 2], [0, 1, 2, 3])
    assert sampling.top_p_indices(probs, 1.0) is None


def test_min_p_by_hand() -> None:
    probs = np.array([0.125, 0.5, 0.25, 0.125])
    assert sampling.min_p_indices(probs, 0.0) is None
    for p, want in [(0.25, [0, 1, 2, 3]), (0.26, [1, 2]), (0.5, [1, 2]), (1.0, [1])]:
        kept = sampling.min_p_indices(probs, p)
        assert kept is not None and kept.tolist() == want


def test_draw_by_hand() -> None:
    probs = np.array([0.0, 0.25, 0.0, 0.75, 0.0])
    assert [sampling.draw(probs, u) for u in (0.0, 0.249, 0.25, 0.999)] == [1, 1, 3, 3]
    # The sum need not be 1, and the last tokens have no probability.
    for scale in (1.0, 0.1, 3.0, 1 + 2**-52):
        probs = np.array([scale] * 10 + [0.0])
        assert sampling.draw(probs, np.nextafter(1.0, 0.0)) == 9
        assert sampling.draw(probs, 0.55) == 5


floats = st.floats(-50, 50, width=32)
vectors = hnp.arrays(np.float32, st.integers(1, 300), elements=floats)


@pytest.mark.parametrize("n", [4096, 5003])
@pytest.mark.parametrize("n_finite", [3, 70, 5003])
def test_top_k_of_a_vocabulary_is_a_stable_sort(n: int, n_finite: int) -> None:
    x = np.random.default_rng(n_finite).integers(-20, 20, n).astype(np.float32)  # many equals
    x[:-n_finite] = -np.inf
    order = np.argsort(-x, kind="stable")
    for k in (1, 7, 32, 33, 64, 1000, n - 1):
        assert sampling.top_k_indices(x, k).tolist() == np.sort(order[:k]).tolist()


@given(vectors, st.integers(1, 320))
def test_top_k_is_a_stable_sort(x: sampling.F32, k: int) -> None:
    want = np.sort(np.argsort(-x, kind="stable")[:k])
    assert sampling.top_k_indices(x, k).tolist() == want.tolist()


@given(vectors, st.floats(0, 1))
def test_top_p_is_a_whole_sort(x: sampling.F32, p: float) -> None:
    probs = sampling.softmax(x, 1.0)
    kept = sampling.top_p_indices(probs, p)
    if kept is None:
        assert p == 1.0
        return
    want: list[int] = []
    total = 0.0
    for i in np.argsort(-probs, kind="stable"):
        want.append(int(i))
        total += probs[i]
        if total >= p:
            break
    assert kept.tolist() == sorted(want)


@given(vectors, st.integers(0, 5), st.floats(0, 1), st.floats(0, 1), st.floats(1e-3, 10))
def test_a_token_is_always_left(
    x: sampling.F32, top_k: int, top_p: float, min_p: float, temperature: float
) -> None:
    params = SamplingParams(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, seed=1)
    assert 0 <= Sampler(params, len(x), []).sample(x) < len(x)


# --- the sampler ------------------------------------------------------------------------------


def test_greedy_takes_the_lowest_id_on_ties() -> None:
    assert Sampler(SamplingParams(), 4, []).sample(logits_of(1, 3, 3, 2)) == 1


def test_same_seed_same_draws() -> None:
    x = np.random.default_rng(0).standard_normal(1000).astype(np.float32)

    def draws(seed: int | None) -> list[int]:
        sampler = Sampler(SamplingParams(temperature=1.0, seed=seed), 1000, [])
        return [sampler.sample(x) for _ in range(20)]

    assert draws(5) == draws(5)
    assert draws(5) != draws(6)
    assert draws(None) != draws(None)


def test_draws_follow_the_probabilities() -> None:
    x = np.log(np.array([0.1, 0.2, 0.3, 0.4], np.float32))
    sampler = Sampler(SamplingParams(temperature=1.0, seed=0), 4, [])
    counts = np.bincount([sampler.sample(x) for _ in range(20_000)], minlength=4)
    # Five standard errors of a share are at most 5 * sqrt(0.25 / 20000) = 0.018.
    assert counts / 20_000 == pytest.approx([0.1, 0.2, 0.3, 0.4], abs=0.018)


def test_filters_follow_their_order() -> None:
    # Shares 8 : 4 : 2 : 1 : 1. top-k 3 leaves 8/14, 4/14, 2/14; top-p 0.8 of that the first two
    # (12/14); before top-k, it would need three (14/16). min-p 0.6 then leaves only the first.
    x = np.log(np.array([8, 4, 2, 1, 1], np.float32))
    params = SamplingParams(temperature=1.0, top_k=3, top_p=0.8, seed=0)
    sampler = Sampler(params, 5, [])
    assert {sampler.sample(x) for _ in range(200)} == {0, 1}
    params = SamplingParams(temperature=1.0, top_k=3, top_p=0.8, min_p=0.6, seed=0)
    sampler = Sampler(params, 5, [])
    assert {sampler.sample(x) for _ in range(200)} == {0}


def test_top_p_comes_before_min_p() -> None:
    # min-p 0.25 keeps 8 : 4 : 2. Of all 16, two tokens are less than 0.8; of those 14, more.
    x = np.log(np.array([8, 4, 2, 1, 1], np.float32))
    params = SamplingParams(temperature=1.0, top_p=0.8, min_p=0.24, seed=0)
    sampler = Sampler(params, 5, [])
    assert {sampler.sample(x) for _ in range(200)} == {0, 1, 2}


def test_temperature_comes_before_top_p() -> None:
    # At temperature 0.5 shares 3 : 2 : 1 become 9 : 4 : 1, so one token reaches 0.6 = 8.4/14.
    x = np.log(np.array([3, 2, 1], np.float32))
    sampler = Sampler(SamplingParams(temperature=0.5, top_p=0.6, seed=0), 3, [])
    assert {sampler.sample(x) for _ in range(200)} == {0}


def test_repetition_counts_prompt_and_answer() -> None:
    sampler = Sampler(SamplingParams(repetition_penalty=2.0), 4, [0, 0])
    x = logits_of(4.0, 3.0, 2.5, 0.0)
    assert sampler.sample(x) == 1  # 4 -> 2 for the prompt's token
    sampler.accept(1)
    assert sampler.sample(x) == 2
    assert x.tolist() == [4.0, 3.0, 2.5, 0.0]


def test_presence_and_frequency_count_the_answer_only() -> None:
    params = SamplingParams(presence_penalty=0.5, frequency_penalty=0.4)
    sampler = Sampler(params, 3, [0, 0, 0])
    x = logits_of(2.0, 1.0, 0.0)
    chosen = []
    for _ in range(5):
        chosen.append(sampler.sample(x))
        sampler.accept(chosen[-1])
    # 2.0; then 1.1 > 1.0; then 0.7 < 1.0; then 0.7 > 0.1; then 0.3 > 0.1 (counts 3 and 1).
    assert chosen == [0, 0, 1, 0, 0]


@pytest.mark.parametrize("params", [SamplingParams(), SamplingParams(temperature=1.0, seed=0)])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_logits_that_are_not_finite(params: SamplingParams, bad: float) -> None:
    with pytest.raises(EngineError, match="not finite"):
        Sampler(params, 3, []).sample(logits_of(1.0, bad, 2.0))


@pytest.mark.parametrize("params", [SamplingParams(), SamplingParams(temperature=1.0, seed=0)])
def test_nothing_but_forbidden_tokens(params: SamplingParams) -> None:
    with pytest.raises(EngineError, match="no token may come: all of them are forbidden"):
        Sampler(params, 2, []).sample(logits_of(-math.inf, -math.inf))


def test_a_masked_token_is_never_drawn() -> None:
    sampler = Sampler(SamplingParams(temperature=2.0, seed=0), 3, [])
    assert {sampler.sample(logits_of(0.0, -math.inf, 0.0)) for _ in range(100)} == {0, 2}


def test_stop_tokens_lie_in_the_vocabulary() -> None:
    Sampler(SamplingParams(stop_tokens=(9,)), 10, [])
    with pytest.raises(RequestError) as caught:
        Sampler(SamplingParams(stop_tokens=(10,)), 10, [])
    assert caught.value.param == "stop_tokens"


@pytest.mark.parametrize("temperature", [1e-5, 1e-30, 0.7, 1e30])
def test_numpys_errors_do_not_reach_the_caller(temperature: float) -> None:
    """Whatever np.seterr says: probabilities that are too small for a float are 0."""
    x = logits_of(800.0, -800.0, 3.0, -math.inf)
    for more in ({}, {"top_k": 2}, {"top_p": 0.9}, {"min_p": 0.01}, {"repetition_penalty": 1.1}):
        sampler = Sampler(SamplingParams(temperature=temperature, seed=0, **more), 4, [1])
        with np.errstate(all="raise"):
            chosen = sampler.sample(x)
            scores = log_softmax(x)
        assert chosen == 0 or temperature > 100
        assert scores.tolist() == [0.0, -1600.0, -797.0, -math.inf]


@pytest.mark.parametrize(
    "given", [{"top_k": 5}, {"top_p": 0.9}, {"min_p": 0.1}, {"seed": 0}, {"seed": 3, "top_k": 1}]
)
def test_what_has_no_effect_gets_a_word(
    given: dict[str, float], caplog: pytest.LogCaptureFixture
) -> None:
    SamplingParams.from_kwargs(**given)
    said = [record.getMessage() for record in caplog.records]
    assert sorted(said) == sorted(f"{name} has no effect at temperature 0" for name in given)
    caplog.clear()
    SamplingParams.from_kwargs(**given, temperature=0.5)
    SamplingParams.from_kwargs(top_k=0, top_p=1.0, min_p=0, seed=None, repetition_penalty=1.1)
    assert not caplog.records
