"""Branches' rules know what their branch said, at the same cost in each round."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import halfbyte
from halfbyte.generation.beams.beam_search import Path
from halfbyte.generation.beams.branch_rules import BranchRules

PROMPT = "import numpy as np\n\n\ndef mean(x):\n    return"
WORDS = {"regex": "( (np|x|mean)[.(+]?){1,9}", "min_tokens": 3}


class Remembering:
    """Remembers what it was told; counts how often any is."""

    n_told = 0

    def __init__(self, told: Path = ()) -> None:
        self.told = told

    def change(self, row: Any) -> None:
        """Nothing."""

    def accept(self, token: int) -> None:
        Remembering.n_told += 1
        self.told = (*self.told, token)

    def fork(self) -> Remembering:
        return Remembering(self.told)


def test_each_follows_its_branch_and_is_told_of_one_token_a_round() -> None:
    rules = BranchRules(lambda: [Remembering()])
    paths: list[Path] = [()]
    for _ in range(9):
        Remembering.n_told = 0
        for path in paths + paths:  # asked again, it is the same one
            (rule,) = rules.behind(path)
            assert isinstance(rule, Remembering) and rule.told == path
        assert Remembering.n_told == (len(paths) if paths != [()] else 0)
        paths = [(*path, token) for path in paths[-2:] for token in (7, 8)]


def test_what_is_first_asked_in_the_middle_is_told_all() -> None:
    (rule,) = BranchRules(lambda: [Remembering()]).behind((4, 5, 6))
    assert isinstance(rule, Remembering) and rule.told == (4, 5, 6)


def test_a_search_finds_what_it_finds_with_new_rules_each_time(
    infill_model: halfbyte.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, ...]] = []

    def avoiding(ids: Any, row: Any) -> None:
        seen.append(tuple(ids[-3:]))
        row[ids[-1]] = -np.inf  # no token twice in a row

    how: dict[str, Any] = {
        **WORDS, "num_beams": 4, "n": 4, "max_tokens": 12, "logits_processor": avoiding,
        "bad_words": [" mean", [25, 26]], "logit_bias": {5: -2.0},
    }  # fmt: skip

    def found() -> list[Any]:
        seen.clear()
        return [(one.tokens, one.score, one.is_complete) for one in
                infill_model.complete(PROMPT, **how)] + [list(seen)]  # fmt: skip

    got = found()

    def replayed(self: BranchRules, path: Path) -> Sequence[Any]:
        rules = list(self._make())
        for rule in rules:
            for token in path:
                rule.accept(token)
        return rules

    monkeypatch.setattr(BranchRules, "behind", replayed)
    assert found() == got and len(set(seen)) > 12
