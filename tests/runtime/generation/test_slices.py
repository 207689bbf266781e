"""How long an answer runs while others wait for its place."""

from __future__ import annotations

import pytest
from scripted import Caller, request_of

from halfbyte.generation import slices
from halfbyte.generation.request import Request
from halfbyte.generation.slices import SLICE


def answering(n: int, *, begin: int = 0, n_again: int = 0, priority: float = 1.0) -> Request:
    request = request_of([0] * n)
    Caller(request, priority=priority)
    request.is_answering, request.slice_begin, request.n_again = True, begin, n_again
    return request


def test_the_one_that_is_most_over() -> None:
    over, more = (answering(SLICE + n) for n in (0, 1))
    assert slices.most_over([over, more, answering(SLICE - 1)]) is more
    assert slices.most_over([answering(SLICE + 9, begin=10)]) is None
    prompt = answering(1000)
    prompt.is_answering = False
    assert slices.most_over([prompt]) is None and slices.most_over([]) is None


@pytest.mark.parametrize(("priority", "n"), [(2.0, 2 * SLICE), (0.5, SLICE // 2), (0.01, 1)])
def test_priority(priority: float, n: int) -> None:
    assert slices.most_over([answering(n, priority=priority)]) is not None
    assert slices.most_over([answering(n - 1, priority=priority)]) is None


def test_what_was_computed_again_makes_it_longer() -> None:
    n = 1000 + SLICE + 100
    assert slices.most_over([answering(n - 1, begin=1000, n_again=400)]) is None
    assert slices.most_over([answering(n, begin=1000, n_again=400)]) is not None


def test_what_is_to_be_computed_again() -> None:
    request = answering(1000)
    slices.begin(request)
    assert (request.slice_begin, request.n_again) == (1000, 999)
    request.is_answering = False  # a prompt's own work
    slices.begin(request)
    assert (request.slice_begin, request.n_again) == (1000, 0)
