"""The sampler of middles, beside a slow twin that follows llama.cpp step by step."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import halfbyte
from halfbyte.generation.params import SamplingParams
from halfbyte.generation.sampling.asked_sampler import sampler_of
from halfbyte.generation.sampling.infill_sampler import infill_indices

DATA = Path(__file__).parents[3] / "data"
PIECES = [b"", b"", b"a", b"ab", b"abc", b"b", b"a", b" ", b"  ", b"\xc3", b"\xc3\xa9", b"x", b"xy"]
ENDS = {0, 1}


def _twin(probs: list[float], ids: list[int]) -> list[int] | None:
    """Loops over all pairs, from the likeliest on; None is the single end."""
    order = sorted(range(len(ids)), key=lambda i: (-probs[i], ids[i]))
    p, tokens = [probs[i] for i in order], [ids[i] for i in order]
    n, dead = len(p), [False] * len(p)
    p_end = sum(p[i] for i in range(n) if tokens[i] in ENDS)
    if 3 * p_end * n > sum(p) - p_end:
        return sorted(t for t in tokens if t in ENDS)
    for i in range(n):
        for j in range(n):
            if dead[i]:
                break
            first, second = PIECES[tokens[i]], PIECES[tokens[j]]
            if i == j or dead[j] or not first or second[: len(first)] != first:
                continue
            to, gone = (j, i) if p[j] > p[i] else (i, j)
            p[to], p[gone], dead[gone] = p[to] + p[gone], 0.0, True
    kept = [i for i in range(n) if p[i] >= 0.2 or tokens[i] in ENDS]
    n_text = sum(tokens[i] not in ENDS for i in kept)
    if not n_text:
        return None
    total = sum(p[i] for i in kept)
    least = 1.0 / (n_text + 1)
    return sorted(tokens[i] for i in kept if tokens[i] in ENDS or p[i] / total >= least)


@pytest.mark.parametrize("sharpness", [0.5, 1.5, 3.0])
def test_it_leaves_what_llama_cpps_leaves(sharpness: float) -> None:
    rng = np.random.default_rng(int(sharpness * 10))
    seen = set()
    for _ in range(400):
        n = int(rng.integers(1, len(PIECES) + 1))
        ids = np.sort(rng.choice(len(PIECES), n, replace=False))
        logits = rng.normal(size=n) * sharpness
        logits[np.isin(ids, list(ENDS))] -= 5.0
        probs = np.exp(logits) / np.exp(logits).sum()
        got = infill_indices(probs, ids, ENDS, PIECES.__getitem__)
        expected = _twin(list(map(float, probs)), list(map(int, ids)))
        assert (None if got is None else ids[got].tolist()) == expected
        seen.add("end" if expected is None else "ends" if set(expected) <= ENDS else len(expected))
    assert {"end", "ends", 1} & seen and len(seen) >= 3


def test_it_leaves_what_a_llama_server_leaves(infill_model: halfbyte.Model) -> None:
    golden = json.loads((DATA / "golden_infill_sampler.json").read_text("utf-8"))
    tokenizer = infill_model.tokenizer
    order = ["top_k", "infill"]
    params = SamplingParams(temperature=1, top_k=golden["top_k"], samplers=order, seed=1)
    ends = [i for i in (tokenizer.id_of("▁<EOT>"),) if i is not None]
    for row in golden["rows"]:
        chain = sampler_of(tokenizer, params, row["prompt"], ends)
        chain.sample(infill_model.logits(row["prompt"])[-1])
        assert chain.drawn_from is not None
        ids, probs = chain.drawn_from
        assert ids is not None
        assert ids.tolist() == sorted(map(int, row["left"]))
        expected = [row["left"][str(i)] for i in ids]
        np.testing.assert_allclose(probs / probs.sum(), expected, atol=0.05)  # of 8-bit products


def test_only_the_likeliest_of_very_many_are_combined() -> None:
    asked = []

    def piece_of(token: int) -> bytes:
        asked.append(token)
        return b"%d" % token

    probs = np.full(5000, 0.4 / 4998)
    probs[[7, 70]] = 0.4, 0.2  # 7 begins 70
    kept = infill_indices(probs, np.arange(5000), (), piece_of)
    assert kept is not None and kept.tolist() == [7]
    assert len(asked) == 1000 and {7, 70} <= set(asked)


def test_it_is_a_link_of_the_chain_and_counts_at_temperature_0(
    infill_model: halfbyte.Model,
) -> None:
    tokenizer = infill_model.tokenizer
    eot = tokenizer.vocabulary.special["eot"]
    a, ab, b = (tokenizer.id_of(piece) for piece in ("a", "ab", "b"))
    assert a is not None and ab is not None and b is not None
    logits = np.full(tokenizer.n_vocab, -np.inf, np.float32)
    logits[[a, ab, b]] = np.log(np.array([0.3, 0.3, 0.4], np.float32))
    order = ["top_k", "infill"]
    params = SamplingParams(temperature=0, top_k=4, samplers=order)
    # ab goes with a, and of the two that stay, b is the likelier one.
    assert sampler_of(tokenizer, params, [1]).sample(logits) == b
    chain = sampler_of(tokenizer, SamplingParams(temperature=1, top_k=3, samplers=order), [1])
    drawn = {chain.sample(logits) for _ in range(64)}
    assert drawn == {a, b}
    # Where an end is likely enough, nothing else comes: one of the prompt's own too.
    logits[eot], logits[[a, ab, b]] = math.log(0.1), np.log(0.3)
    assert sampler_of(tokenizer, params, [1], [eot]).sample(logits) == eot
    # Where no token is sure enough, the answer ends.
    logits[:] = -np.inf
    unlike = tokenizer.text_ids[300:340]
    logits[unlike], logits[eot] = 0.0, -30.0
    wide = SamplingParams(temperature=1, samplers=["infill"], seed=1)
    assert sampler_of(tokenizer, wide, [1]).sample(logits) == eot


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_an_end_that_may_not_come_does_not(
    infill_model: halfbyte.Model, temperature: float
) -> None:
    how: dict[str, Any] = {
        "samplers": ["top_k", "infill"], "temperature": temperature, "max_tokens": 24,
    }  # fmt: skip
    if temperature:
        how["seed"] = 3
    prompt = "def f(x):\n    return "
    assert len(infill_model.complete(prompt, **how).tokens) < 12
    assert len(infill_model.complete(prompt, min_tokens=12, **how).tokens) >= 12
    assert infill_model.complete(prompt, regex="[a-z]{12}", **how).is_complete


def test_an_answer_is_the_same_beside_others_and_with_guesses(infill_model: halfbyte.Model) -> None:
    def ask(**more: object) -> str:
        return infill_model.infill(
            "import numpy as np\n\n\ndef mean(values):\n    return ", "\n", max_tokens=16, top_k=40,
            top_p=0.9, temperature=1.0, seed=5, samplers=["top_k", "top_p", "infill"], **more,
        ).text  # fmt: skip

    alone = ask(speculate=False)
    assert ask() == alone
    several = infill_model.infill(
        "import numpy as np\n\n\ndef mean(values):\n    return ", "\n", n=3, max_tokens=16,
        top_k=40, top_p=0.9, temperature=1.0, seed=5, samplers=["top_k", "top_p", "infill"],
    )  # fmt: skip
    assert several[0].text == alone
