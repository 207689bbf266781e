"""Keywords of a call beside the sampling parameters, for editors and type checkers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, TypedDict


class TokenRuleOptions(TypedDict, total=False):
    """What is asked of single tokens and texts; see TokenRules."""

    logit_bias: Mapping[int, float] | Mapping[str, float] | Mapping[int | str, float]
    min_tokens: int
    bad_words: str | Collection[str | Sequence[int]]
    banned_strings: str | Collection[str]


class TextEndOptions(TypedDict, total=False):
    """Where a text ends by what code looks like; see TextEnds."""

    stop_indent: bool | int
    stop_brackets: bool | Literal["before", "behind"]
