"""Beam searches give what transformers gives, and their forks change no bit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import halfbyte
from halfbyte.generation.beams.beam_search import BeamSearch
from halfbyte.generation.beams.beams import Beams
from halfbyte.generation.beams.group_search import GroupSearch

GOLDEN = json.loads((Path(__file__).parents[3] / "data" / "golden_beams.json").read_text("utf-8"))
END = 2


@pytest.fixture(scope="module")
def tiny(
    tmp_path_factory: pytest.TempPathFactory, benchmark_module: Callable[[str], ModuleType]
) -> Iterator[halfbyte.Model]:
    """The model that transformers was asked about, in float32."""
    tiny_llama = benchmark_module("tiny_llama")
    folder = tmp_path_factory.mktemp("beams")
    tiny_llama.save(tiny_llama.Tiny(**GOLDEN["tiny"]), folder / "hf")
    halfbyte.convert(folder / "hf", folder / "f32.gguf", type="f32", measure=False)
    with halfbyte.load(folder / "f32.gguf", kv_type="f32", threads=2) as model:
        yield model


def ours(model: halfbyte.Model, call: dict[str, Any]) -> list[halfbyte.Completion]:
    given = dict(call)
    return model.complete(
        given.pop("inputs"), n=given["num_beams"], max_tokens=given.pop("max_new_tokens"),
        stop_tokens=given.pop("eos_token_id"), **given,
    )  # fmt: skip


@pytest.mark.parametrize("part", ["beams", "groups"])
def test_ids_and_scores_are_those_of_transformers(tiny: halfbyte.Model, part: str) -> None:
    for case in GOLDEN[part]["cases"]:
        found, ends = ours(tiny, case["call"]), case["call"]["eos_token_id"]
        wanted = [ids[:-1] if ids[-1] in ends else ids for ids in case["ids"]]
        assert [one.tokens for one in found] == wanted, case["call"]
        stops = case["call"].get("stop", ())
        said = [tiny.tokenizer.decode(ids, strip_prefix_space=False) for ids in case["ids"]]
        is_stopped = [any(stop in text for stop in stops) for text in said]
        reasons = [
            "stop" if ids[-1] in ends or stopped else "length"
            for ids, stopped in zip(case["ids"], is_stopped, strict=True)
        ]
        for one, text, stopped in zip(found, said, is_stopped, strict=True):
            assert not stopped or one.text == text[: min(text.find(s) for s in stops if s in text)]
        assert [one.finish_reason for one in found] == reasons
        assert [one.score for one in found] == pytest.approx(case["scores"], rel=2e-6, abs=1e-4)


def test_the_golden_searches_end_in_all_ways() -> None:
    stopped = [len(i) for c in GOLDEN["beams"]["cases"] if "stop" in c["call"] for i in c["ids"]]
    assert len(set(stopped)) > 4 and min(stopped) < 4
    for part in ("beams", "groups"):
        cases = GOLDEN[part]["cases"]
        ended = [[i[-1] in c["call"]["eos_token_id"] for i in c["ids"]] for c in cases]
        assert sum(map(any, ended)) > 20 and not all(map(all, ended)), part
        assert any(len(i) < c["call"]["max_new_tokens"] for c in cases for i in c["ids"])


def test_scores_of_texts_are_those_of_transformers(tiny: halfbyte.Model) -> None:
    asked = GOLDEN["scored"]
    scores = tiny.score(asked["prompt"], asked["continuations"])
    for score, wanted in zip(scores, asked["logprobs"], strict=True):
        assert score.logprobs == pytest.approx(wanted, abs=1e-4)


def test_a_forbidden_token_is_no_branch() -> None:
    row = np.full(4, -np.inf)
    row[1], row[3] = -0.5, -1.0
    search = BeamSearch(Beams(num_beams=3), 2, frozenset({3}))
    search.tell([row])
    assert search.wanted == [(1,)]
    search.tell([row])
    assert [(one.tokens, one.is_ended) for one in search.best()] == [
        ((1, 1), False), ((1, 3), True), ((3,), True),
    ]  # fmt: skip
    assert [one.score for one in search.best()] == [-0.5, -0.75, -1.0]


def test_a_group_that_is_done_says_padding_to_those_after_it() -> None:
    asked = Beams(num_beams=2, num_beam_groups=2, diversity_penalty=1.0, early_stopping=True)
    search = GroupSearch(asked, 4, frozenset({3}), padding=3)
    search.tell([np.log([0.5, 0.4, 0.05, 0.05])])
    assert search.wanted == [(0,), (1,)]
    search.tell([np.log([0.1, 0.2, 0.1, 0.6]), np.log([0.6, 0.1, 0.2, 0.1])])
    assert search.wanted == [(1, 0)]  # the first group is done
    search.tell([np.log([0.2, 0.3, 0.1, 0.4])])  # 3 is what it says: 0.4 / e < 0.3
    assert search.wanted == [(1, 0, 1)]
