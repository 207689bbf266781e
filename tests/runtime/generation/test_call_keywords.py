"""The keywords that checkers know beside the fields that are read at run time."""

from __future__ import annotations

from dataclasses import fields
from typing import get_type_hints

from halfbyte.generation.call_keywords import TextEndOptions, TokenRuleOptions
from halfbyte.generation.params import CallOptions
from halfbyte.generation.rules.token_rules import TokenRules
from halfbyte.generation.text_ends import TextEnds


def test_the_keywords_are_the_fields() -> None:
    for keywords, kept in ((TokenRuleOptions, TokenRules), (TextEndOptions, TextEnds)):
        names = list(get_type_hints(keywords))
        assert names == [field.name for field in fields(kept)]
        assert get_type_hints(CallOptions).keys() >= set(names)
