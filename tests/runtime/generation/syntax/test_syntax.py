"""syntax="python" from a call's keywords to its result."""

from __future__ import annotations

import ast
import logging
from typing import Any

import pytest

import halfbyte

PREFIX, SUFFIX = "def area(w, h):\n    if w", "\n    return w * h\n\n\nprint(area(1, 2))\n"


def test_a_middle_parses(infill_model: halfbyte.Model) -> None:
    plain = infill_model.infill(PREFIX, SUFFIX, max_tokens=48)
    done = infill_model.infill(PREFIX, SUFFIX, max_tokens=48, syntax="python")
    ast.parse(done.full_text)
    assert done.finish_reason == "stop" and len(done.tokens) < len(plain.tokens)
    assert plain.text.startswith(done.text)
    pieces = list(infill_model.stream_infill(PREFIX, SUFFIX, max_tokens=48, syntax="python"))
    assert "".join(pieces) == done.text


def test_an_answer_is_the_same_beside_others_and_of_ids(infill_model: halfbyte.Model) -> None:
    prompts = ["def f(x):\n    ret", "class A:\n    def f(self):\n        se"]
    alone = [infill_model.complete(p, max_tokens=40, syntax="python") for p in prompts]
    both = infill_model.complete(prompts, max_tokens=40, syntax="python")
    assert [d.text for d in both] == [d.text for d in alone]
    assert [d.finish_reason for d in both] == [d.finish_reason for d in alone]
    slow = infill_model.complete(prompts, max_tokens=40, syntax="python", speculate=False)
    assert [d.text for d in slow] == [d.text for d in alone]
    ids = infill_model.tokenizer.encode(prompts[0])
    assert infill_model.complete(ids, max_tokens=40, syntax="python").text


def test_what_was_answered_without_is_not_given_again(infill_model: halfbyte.Model) -> None:
    """The rest of an earlier answer is for the same question only."""
    more = f"{SUFFIX}\n"
    plain = infill_model.infill(PREFIX, more, max_tokens=48)
    done = infill_model.infill(PREFIX + plain.text[:1], more, max_tokens=48, syntax="python")
    assert done.n_typed == 0


def test_where_it_cannot_help_it_says_so(
    infill_model: halfbyte.Model, caplog: pytest.LogCaptureFixture
) -> None:
    broken = "def f(:\n    retu"
    plain = infill_model.complete(broken, max_tokens=5)
    with caplog.at_level(logging.WARNING):
        done = infill_model.complete(broken, max_tokens=5, syntax="python")
    assert done.text == plain.text
    assert [record.getMessage() for record in caplog.records] == [
        "syntax has no effect: nothing after the prompt would parse as Python"
    ]


@pytest.mark.parametrize("value", ["ruby", "", 3, True])
def test_other_languages_are_refused(infill_model: halfbyte.Model, value: Any) -> None:
    for call in (infill_model.complete, infill_model.infill):
        with pytest.raises(halfbyte.RequestError) as caught:
            call("x = <FILL_ME>", syntax=value)
        assert caught.value.param == "syntax"
