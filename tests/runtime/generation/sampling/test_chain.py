"""Chains of samplers beside llama.cpp's own, and beside a slow twin written from the definitions.

tests/data/golden_samplers.json has what llama.cpp leaves of some logits, in 32-bit arithmetic;
benchmarks/make_samplers_golden.py makes it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sampler_twin import Twin

from halfbyte.errors import EngineError
from halfbyte.generation.params import SamplingParams
from halfbyte.generation.sampler import Sampler
from halfbyte.generation.sampling.asked_sampler import sampler_of
from halfbyte.generation.sampling.chain import ChainSampler
from halfbyte.generation.sampling.remaining import Remaining
from halfbyte.generation.sampling.sampler_options import SAMPLERS
from halfbyte.tokenizer import Tokenizer

GOLDEN = json.loads(
    (Path(__file__).parents[3] / "data" / "golden_samplers.json").read_text(encoding="utf-8")
)
ROWS = [np.array([-np.inf if x is None else x for x in row], np.float32) for row in GOLDEN["rows"]]
# llama.cpp's order.
LLAMA_CPP = [name for name in SAMPLERS if name not in ("temperature", "adaptive_p")]
LLAMA_CPP += ["temperature"]


class Numbers:
    """A vocabulary of the golden values: a text each, of which the last ones are breakers."""

    n_vocab = GOLDEN["n_vocab"]

    def token_bytes(self, token: int) -> bytes:
        return {288: b"x#", 289: b"#y"}.get(token, b"*" if token >= 290 else b"<%d>" % token)

    def piece(self, token: int) -> str:
        return self.token_bytes(token).decode()

    def encode_fragment(self, text: str) -> list[int]:
        return {"#": [289]}[text]


TOKENIZER = cast(Tokenizer, Numbers())
BREAKERS = ("*", "##")


def params_of(link: Sequence[Any]) -> tuple[str, dict[str, Any]]:
    """A sampler of llama.cpp's as ours, with what it is told."""
    name, *values = link
    names = {
        "top_n_sigma": ("top_n_sigma",), "top_k": ("top_k",), "typical": ("typical_p",),
        "top_p": ("top_p",), "min_p": ("min_p",), "xtc": ("xtc_probability", "xtc_threshold"),
        "temp_ext": ("temperature", "dynatemp_range", "dynatemp_exponent"),
        "penalties": ("", "penalty_window", "repetition_penalty", "frequency_penalty",
                      "presence_penalty"),
        "dry": ("dry_multiplier", "dry_base", "dry_allowed_length", "dry_window"),
    }[name]  # fmt: skip
    ours = {"typical": "typical_p", "temp_ext": "temperature"}.get(name, name)
    return ours, {key: value for key, value in zip(names, values, strict=False) if key}


def ids_of(left: Remaining) -> list[int]:
    """The tokens that may come."""
    return [left.token(int(i)) for i in np.flatnonzero(left.logits > -np.inf)]


def check(left: Remaining, golden: dict[str, Any], logits: np.ndarray) -> None:
    ids = list(range(len(logits))) if golden["ids"] is None else golden["ids"]
    assert ids_of(left) == ids
    probs = {left.token(i): float(p) for i, p in enumerate(left.probs)}
    for token, prob in golden["probs"].items():
        assert probs[int(token)] == pytest.approx(prob, rel=2e-5, abs=1e-9)
    mean = sum(token * p for token, p in probs.items())
    assert mean == pytest.approx(golden["mean"], rel=2e-5)


@pytest.mark.parametrize("i", range(len(GOLDEN["cases"])))
def test_a_chain_leaves_what_llama_cpps_leaves(i: int) -> None:
    case = GOLDEN["cases"][i]
    links = [params_of(link) for link in case["chain"]]
    how = {key: value for _, params in links for key, value in params.items()}
    how = {"temperature": 1.0, "seed": 0, "dry_sequence_breakers": BREAKERS, **how}
    params = SamplingParams(**how, samplers=tuple(name for name, _ in links))
    history = GOLDEN["histories"][case["history"]]
    sampler = ChainSampler(TOKENIZER, params, history[:7])
    for token in history[7:]:
        sampler.accept(token)
    row = ROWS[case["row"]]
    check(sampler.candidates(row), case, row)


@pytest.mark.parametrize("i", range(len(GOLDEN["draws"])))
def test_what_follows_what_was_drawn(i: int) -> None:
    """Mirostat and adaptive-p, given the tokens that llama.cpp drew."""
    name, *values = GOLDEN["draws"][i]["sampler"]
    steps = GOLDEN["draws"][i]["steps"]
    if name == "adaptive_p":
        params = SamplingParams(
            temperature=1.0, adaptive_target=values[0], adaptive_decay=values[1], seed=0
        )
    else:
        tau, eta = values[2:4] if name == "mirostat" else values[1:3]
        version = 1 if name == "mirostat" else 2
        params = SamplingParams(
            temperature=1.0, mirostat=version, mirostat_tau=tau, mirostat_eta=eta, seed=0
        )
    sampler = ChainSampler(TOKENIZER, params, [])
    for n, step in enumerate(steps):
        row = ROWS[n % len(ROWS)]
        left = sampler.candidates(row)
        final = sampler.final(left)
        check(final, step, row)
        sampler.learn(left, final, int(final.find(np.array([step["token"]]))[0][0]))
        sampler.accept(step["token"])


REALS = {
    "top_n_sigma": (0.0, 0.5, 2.0), "typical_p": (0.0, 0.3, 0.9, 1.0), "top_k": (0, 1, 7, 100),
    "top_p": (0.0, 0.5, 0.9, 1.0), "min_p": (0.0, 0.05, 0.5, 1.0), "xtc_threshold": (0.02, 0.2),
    "xtc_probability": (0.0, 1.0), "dynatemp_range": (0.0, 0.4, 2.0),
    "top_h": (0.0, 0.4, 0.8, 1.0), "epsilon_cutoff": (0.0, 0.01, 0.3, 1.0),
    "eta_cutoff": (0.0, 0.01, 0.3, 1.0),
    "temperature": (0.3, 1.0, 2.0),
    "dynatemp_exponent": (0.5, 1.0, 2.0), "dry_multiplier": (0.0, 0.8), "dry_base": (1.0, 1.75),
    "dry_allowed_length": (1, 2, 4), "dry_window": (0, 5, 64, None),
    "penalty_window": (0, 3, 64, None), "repetition_penalty": (1.0, 1.3, 0.5),
    "presence_penalty": (0.0, 0.5), "frequency_penalty": (0.0, -0.25),
    "mirostat": (0, 0, 0, 1, 2), "mirostat_tau": (1.0, 5.0), "mirostat_eta": (0.1, 0.5),
    "adaptive_target": (None, 0.1, 0.6), "adaptive_decay": (0.0, 0.9),
}  # fmt: skip
ORDER = st.one_of(st.none(), st.lists(st.sampled_from(SAMPLERS), unique=True).map(tuple))


@settings(max_examples=60, deadline=None)
@given(
    st.fixed_dictionaries({name: st.sampled_from(values) for name, values in REALS.items()}),
    ORDER,
    st.lists(st.integers(0, 7).map(lambda i: (*range(6), 288, 295)[i]), max_size=40),
    st.integers(0, 2**32),
)
def test_the_slow_twin_draws_the_same(
    how: dict[str, Any], order: tuple[str, ...] | None, prompt: list[int], seed: int
) -> None:
    params = SamplingParams(**how, samplers=order, seed=1, dry_sequence_breakers=BREAKERS)
    sampler = ChainSampler(TOKENIZER, params, prompt)
    twin = Twin(params, prompt, BREAKERS, TOKENIZER.token_bytes, TOKENIZER.encode_fragment)
    rng = np.random.default_rng(seed)
    for _ in range(3):
        logits = (4 * rng.standard_normal(300)).astype(np.float32)
        logits[rng.integers(0, 300, 20)] = -np.inf
        ids, probs = twin.distribution(logits, xtc_is_on=params.xtc_probability == 1.0)
        final = sampler.final(sampler.candidates(logits))
        assert ids_of(final) == ids
        assert final.probs[final.logits > -np.inf] == pytest.approx(probs, rel=1e-9, abs=1e-12)
        token = sampler.sample(logits)
        assert token in ids
        twin.accept(token)
        sampler.accept(token)


def test_a_chain_of_the_plain_samplers_draws_what_the_plain_one_does() -> None:
    how: dict[str, Any] = {
        "temperature": 0.7, "top_k": 40, "top_p": 0.9, "min_p": 0.02, "repetition_penalty": 1.2,
        "presence_penalty": 0.1, "frequency_penalty": 0.2, "seed": 5,
    }  # fmt: skip
    plain = sampler_of(TOKENIZER, SamplingParams(**how), [1, 2])
    chain = sampler_of(TOKENIZER, SamplingParams(**how, samplers=SAMPLERS), [1, 2])
    assert type(plain) is Sampler and type(chain) is ChainSampler
    for i in range(200):
        token = plain.sample(ROWS[i % 4])
        assert chain.sample(ROWS[i % 4]) == token
        plain.accept(token)
        chain.accept(token)


@pytest.mark.parametrize(
    "how",
    [
        {"mirostat": 2}, {"mirostat": 1}, {"adaptive_target": 0.3}, {"dry_multiplier": 1.0},
        {"penalty_window": 4, "repetition_penalty": 1.5}, {"presence_penalty": 1.0},
    ],
)  # fmt: skip
def test_what_is_taken_back_is_forgotten(how: dict[str, Any]) -> None:
    params = SamplingParams(temperature=1.0, seed=0, **how)
    sampler, other = (sampler_of(TOKENIZER, params, [1, 2, 1]) for _ in range(2))
    for i in range(12):
        for each in (sampler, other) if i < 5 else (sampler,):
            each.accept(each.sample(ROWS[i % 4]))
    sampler.rewind(7)
    # Both draw other random numbers from here on; what they draw from is the same.
    left = [each.candidates(ROWS[0]) if isinstance(each, ChainSampler) else None
            for each in (sampler, other)]  # fmt: skip
    if left[0] is None or left[1] is None:
        penalized = [each._history.penalize(ROWS[0], params).tolist()  # type: ignore[union-attr]
                     for each in (sampler, other)]  # fmt: skip
        assert penalized[0] == penalized[1]
        return
    assert isinstance(sampler, ChainSampler) and isinstance(other, ChainSampler)
    assert sampler.final(left[0]).probs.tolist() == other.final(left[1]).probs.tolist()


def test_xtc_is_a_matter_of_chance() -> None:
    logits = np.log(np.array([0.5, 0.3, 0.15, 0.05], np.float32))
    params = SamplingParams(temperature=1.0, xtc_probability=0.25, xtc_threshold=0.2, seed=3)
    sampler = ChainSampler(TOKENIZER, params, [])
    n_cut = sum(len(sampler.candidates(logits)) == 3 for _ in range(4000))
    assert n_cut / 4000 == pytest.approx(0.25, abs=0.035)  # five standard errors


@pytest.mark.parametrize("how", [{"dry_multiplier": 9.0}, {"penalty_window": 1,
                                                           "presence_penalty": 2.0}])  # fmt: skip
def test_greedy_answers_are_penalized_too(how: dict[str, Any]) -> None:
    sampler = sampler_of(TOKENIZER, SamplingParams(dry_allowed_length=1, **how), [7, 8, 7])
    logits = np.zeros(300, np.float32)
    logits[[7, 8, 9]] = 1.0, 3.0, 2.0
    assert sampler.sample(logits) == (9 if "dry_multiplier" in how else 8)
    sampler.accept(8)
    assert sampler.sample(logits) == (8 if "dry_multiplier" in how else 9)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_are_not_finite(bad: float) -> None:
    sampler = ChainSampler(TOKENIZER, SamplingParams(temperature=1.0, mirostat=2, seed=0), [])
    with pytest.raises(EngineError, match="not finite"):
        sampler.sample(np.array([0.0, bad] + [0.0] * 298, np.float32))
