"""What a rule is: something that changes the logits of the next token.

A request has its own rules. The scheduler's thread applies them in order to a copy of the model's
logits, before penalties and filters (sampler.py), for one token after another: also for guesses
that are verified together. Only banned strings make an answer step back: beside these, a rule has
to be able to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from halfbyte.generation.sampler import F32


class Rule(Protocol):
    """One request's; remembers what it needs of the tokens so far."""

    def change(self, row: F32) -> None:
        """Change the next token's logits (V,) in place; -inf forbids a token.

        Raises:
            HalfbyteError: it cannot; the request ends with that, and no other one.
        """

    def accept(self, token: int) -> None:
        """The token was taken; an end token never is."""


@runtime_checkable
class Rewindable(Protocol):
    """A rule that can step back."""

    def rewind(self, n: int) -> None:
        """The last n tokens were taken back: be as it was before them."""


class ForkingRule(Rule, Protocol):
    """A rule that other answers with the same beginning can have, too."""

    def fork(self) -> ForkingRule:
        """Another one that was told the same tokens, and goes its own way."""


def changed(logits: F32, rules: Sequence[Rule]) -> F32:
    """The logits as the rules want them: the same array where there are none, else a copy."""
    if not rules:
        return logits
    row = logits.copy()
    for rule in rules:
        rule.change(row)
    return row
