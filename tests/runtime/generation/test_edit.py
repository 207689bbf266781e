"""The result of an edit."""

from __future__ import annotations

import json
from typing import Any

from halfbyte.generation.completion import Completion, Stats
from halfbyte.generation.edit import Edit

DONE = Completion(text="answer", tokens=[5, 6], finish_reason="stop", stats=Stats(9, 0.5, 1, 0.25))


def edit(**facts: Any) -> Edit:
    given = {"start": 1, "end": 3, "jump": None, "format": "sweep", "original": "abcd", **facts}
    return Edit.of(DONE, given.pop("text", "X"), **given)


def test_the_change_is_in_the_whole_text() -> None:
    done = edit()
    assert (done.text, done.answer, done.full_text) == ("X", "answer", "aXd")
    assert (done.tokens, done.finish_reason, done.stats) == ([5, 6], "stop", DONE.stats)
    assert not done.is_empty and isinstance(done, Completion)


def test_an_empty_edit_changes_nothing() -> None:
    assert edit(text="bc").is_empty and edit(start=2, end=2, text="").is_empty
    assert not edit(start=2, end=2).is_empty and not edit(text="").is_empty


def test_it_tells_itself() -> None:
    assert repr(edit(jump=2)) == "Edit(1:3 -> 'X', format='sweep', jump=2, 2 tokens)"
    told = json.loads(json.dumps(edit(left_out=("1 of 1 diagnostics",)).to_dict()))
    assert (told["text"], told["full_text"], told["is_empty"]) == ("X", "aXd", False)
    assert told["left_out"] == ["1 of 1 diagnostics"]
