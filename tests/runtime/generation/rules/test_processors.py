"""Functions of a caller over the logits: what they see, may do, and whose errors are whose."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numba import njit

import halfbyte
from halfbyte.errors import EngineError, RequestError
from halfbyte.generation.rules.processors import ProcessorRule, Processors

PROMPT = "def add(a, b):\n    "


def test_it_sees_all_tokens_and_changes_a_copy(infill_model: halfbyte.Model) -> None:
    seen: list[list[int]] = []

    def watch(ids: Any, row: Any) -> None:
        assert ids.dtype == np.int64 and not ids.flags.writeable
        assert row.dtype == np.float32 and row.shape == (infill_model.config.vocab_size,)
        seen.append(ids.tolist())

    plain = infill_model.complete(PROMPT, max_tokens=70, heal=False)
    done = infill_model.complete(PROMPT, max_tokens=70, heal=False, logits_processor=watch)
    assert done.tokens == plain.tokens
    ids = infill_model.tokenizer.encode(PROMPT)
    assert seen == [ids + plain.tokens[:n] for n in range(len(plain.tokens))]
    # Nor did what it changed reach what others see.
    ruined = infill_model.complete(
        PROMPT, max_tokens=9, heal=False, logits_processor=lambda ids, row: np.negative(row, row)
    )
    assert ruined.tokens != plain.tokens[:9]
    assert infill_model.complete(PROMPT, max_tokens=70, heal=False).tokens == plain.tokens


def test_a_processor_decides_with_and_without_guesses(infill_model: halfbyte.Model) -> None:
    """The slow twin: the logits of each step, changed by hand."""
    model = infill_model

    def repeats_less(ids: Any, row: Any) -> None:
        row[ids[-3:]] -= 3.0

    ids = model.tokenizer.encode(PROMPT)
    for _ in range(24):
        row = model.logits(ids)[-1].copy()
        repeats_less(np.array(ids), row)
        ids.append(int(row.argmax()))
    expected = ids[-24:]
    for more in ({}, {"speculate": False}, {"prediction": expected}):
        done = model.complete(
            PROMPT, max_tokens=24, heal=False, logits_processor=repeats_less, **more
        )
        assert done.tokens == expected, more


@njit
def _forbid_even(ids: Any, row: Any) -> None:
    for i in range(0, len(row), 2):
        row[i] = -np.inf


def test_compiled_functions_and_lists_in_order(infill_model: halfbyte.Model) -> None:
    done = infill_model.complete("x", max_tokens=8, heal=False, logits_processor=_forbid_even)
    assert all(token % 2 for token in done.tokens) and done.tokens
    last = [lambda ids, row: row.fill(0), lambda ids, row: row.__setitem__(77, 1.0)]
    done = infill_model.complete("x", max_tokens=2, logits_processor=last, heal=False)
    assert done.tokens == [77, 77]


def test_logits_may_be_given_back(infill_model: halfbyte.Model) -> None:
    def only(ids: Any, row: Any) -> Any:
        return np.where(np.arange(len(row)) == 77, 0.0, -np.inf)

    done = infill_model.complete("x", max_tokens=2, logits_processor=only, heal=False)
    assert done.tokens == [77, 77]


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (lambda ids, row: row[:3], "expected nothing, or logits of shape (8016,), got shape (3,)"),
        (lambda ids, row: row[None], "expected nothing, or logits of shape (8016,), got shape (1,"),
        (lambda ids, row: "no", "expected nothing, or logits of shape (8016,), got shape ()"),
        (lambda ids, row: ["no"] * 8016, "logits_processor: expected numbers"),
        (lambda ids, row: row.fill(-np.inf), "got nothing but -inf from <lambda>"),
        (lambda ids, row: row.fill(np.nan), "got nan from <lambda>"),
        (lambda ids, row: row.__setitem__(3, np.inf), "got inf from <lambda>"),
    ],
)
def test_what_cannot_be_chosen_from_is_named(
    infill_model: halfbyte.Model, function: Callable[..., Any], text: str
) -> None:
    with pytest.raises(RequestError) as caught:
        infill_model.complete("x", logits_processor=function)
    assert caught.value.param == "logits_processor" and text in str(caught.value)
    assert infill_model.complete("x", max_tokens=1).tokens


def test_an_exception_reaches_its_caller_alone(infill_model: halfbyte.Model) -> None:
    class Mine(Exception):
        pass

    def fails(ids: Any, row: Any) -> None:
        if len(ids) > 12:
            raise Mine("at thirteen")

    alone = infill_model.complete("import os", max_tokens=40).text
    with infill_model.stream("import os", max_tokens=40) as other:
        with pytest.raises(Mine) as caught:
            infill_model.complete("x", max_tokens=40, logits_processor=[print_nothing, fails])
        assert "".join(other) == alone
    if sys.version_info >= (3, 11):
        (note,) = caught.value.__notes__
        assert note.startswith("raised by logits_processor[1], ") and note.endswith("fails")


def print_nothing(ids: Any, row: Any) -> None:
    """A processor that does nothing."""


def test_the_model_itself_is_no_part_of_one(infill_model: halfbyte.Model) -> None:
    def asks(ids: Any, row: Any) -> None:
        infill_model.complete("y", max_tokens=1)

    with pytest.raises(EngineError, match="used within its own computing"):
        infill_model.complete("x", max_tokens=1, logits_processor=asks)


@pytest.mark.parametrize("value", [3, "abc", [print_nothing, 3], {"a": print_nothing}, b"x"])
def test_what_cannot_be_called_is_refused(infill_model: halfbyte.Model, value: object) -> None:
    with pytest.raises(RequestError, match=r"logits_processor: expected a function of \(ids, row"):
        infill_model.complete("x", logits_processor=value)  # type: ignore[arg-type]
    assert Processors.split({"logits_processor": None, "a": 1}) == (Processors(), {"a": 1})
    assert Processors().rules([1]) == []


def test_a_fork_goes_its_own_way() -> None:
    seen: list[list[int]] = []
    first = ProcessorRule([lambda ids, row: seen.append(ids.tolist())], [1, 2])
    second = first.fork()
    first.accept(3)
    second.accept(4)
    for rule in (first, second):
        rule.change(np.zeros(3, np.float32))
    second.rewind(2)
    second.accept(5)
    second.change(np.zeros(3, np.float32))
    assert seen == [[1, 2, 3], [1, 2, 4], [1, 5]]
