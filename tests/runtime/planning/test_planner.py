"""What a call's arguments come to: how many requests, of which kind, with which rules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import halfbyte
from halfbyte.generation.beams.beam_request import BeamRequest
from halfbyte.generation.rules.grammar_rule import GrammarRule
from halfbyte.generation.text_request import TextRequest
from halfbyte.planning.planner import Planner


@pytest.fixture(scope="module")
def planner() -> Iterator[Planner]:
    with halfbyte.load("infill-10m", threads=1, ctx=256) as model:
        yield model._planner


def test_a_prompt_has_as_many_requests_as_candidates(planner: Planner) -> None:
    plan = planner.completion(["a", "b"], n=2, best_of=3, temperature=1.0, seed=1)
    assert len(plan.requests) == 6 and plan.is_list
    assert all(isinstance(request, TextRequest) for request in plan.requests)
    assert len({request.params.seed for request in plan.requests}) == 6


def test_a_beam_search_is_one_request(planner: Planner) -> None:
    (request,) = planner.completion("a", num_beams=3, n=2).requests
    assert isinstance(request, BeamRequest)


def test_a_grammar_is_the_last_rule(planner: Planner) -> None:
    def processor(ids: Any, row: Any) -> None:
        """Nothing."""

    (request,) = planner.completion(
        "a", choices=["yes", "no"], logit_bias={5: 1.0}, logits_processor=processor
    ).requests
    kinds = [type(rule).__name__ for rule in request._rules]
    assert kinds[-1] == GrammarRule.__name__ and len(kinds) == 3
    assert not planner.completion("a").requests[0]._rules


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("banned_strings", ["a"]), ("syntax", "python"), ("temperature", 0.5),
    ],
)  # fmt: skip
def test_what_a_beam_search_does_not_have_is_refused(
    planner: Planner, name: str, value: Any
) -> None:
    with pytest.raises(halfbyte.RequestError) as caught:
        planner.completion("a", num_beams=2, **{name: value})
    assert caught.value.param in (name, "num_beams")
