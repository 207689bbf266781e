"""Rules of a request, with an engine that plays back a script."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scripted import ScriptedEngine, batch_of, request_of


class Forbids:
    """One letter; remembers what was said and seen."""

    def __init__(self, letter: str) -> None:
        self.letter, self.said = ord(letter), ""
        self.rows: list[NDArray[np.float32]] = []

    def change(self, row: NDArray[np.float32]) -> None:
        row[self.letter] = -np.inf
        self.rows.append(row)

    def accept(self, token: int) -> None:
        self.said += chr(token)


def test_rules_change_a_copy_in_their_order_and_are_told() -> None:
    first, second = Forbids("a"), Forbids("b")
    engine = ScriptedEngine("xay")
    request = request_of([0, 5], engine.n_ctx, rules=[first, second], max_tokens=4)
    batch = batch_of(engine)
    batch.add(request)
    while not batch.is_idle:
        batch.step()
    assert request.error is None
    assert first.said == second.said == request.text
    assert request.text[0] == "x" and "a" not in request.text
    assert all(a is b for a, b in zip(first.rows, second.rows, strict=True))
    assert all(np.isneginf(row[[97, 98]]).all() for row in first.rows)


def test_a_rule_that_fails_ends_its_request_alone() -> None:
    class Fails(Forbids):
        def change(self, row: NDArray[np.float32]) -> None:
            raise ArithmeticError("no")

    engine = ScriptedEngine("abc", "abc")
    failing = request_of([0, 5], engine.n_ctx, rules=[Fails("a")])
    other = request_of([1, 5], engine.n_ctx)
    batch = batch_of(engine)
    batch.add(failing)
    batch.add(other)
    while not batch.is_idle:
        batch.step()
    assert isinstance(failing.error, ArithmeticError) and failing.text == ""
    assert (other.error, other.text) == (None, "abc")
