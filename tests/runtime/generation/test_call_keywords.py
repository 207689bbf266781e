"""The keywords that checkers know beside the fields that are read at run time."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import get_type_hints

from halfbyte.generation.call_keywords import CallOptions, TextEndOptions, TokenRuleOptions
from halfbyte.generation.params import SamplingParams
from halfbyte.generation.rules.token_rules import TokenRules
from halfbyte.generation.sampling.sampler_options import RANGES
from halfbyte.generation.text_ends import TextEnds


def test_the_keywords_are_the_fields() -> None:
    for keywords, kept in ((TokenRuleOptions, TokenRules), (TextEndOptions, TextEnds)):
        names = list(get_type_hints(keywords))
        assert names == [field.name for field in fields(kept)]
        assert get_type_hints(CallOptions).keys() >= set(names)


def test_the_documentation_has_every_argument_and_its_default() -> None:
    text = (Path(__file__).parents[3] / "docs" / "sampling.md").read_text("utf-8")
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| `")]
    told = {row[1].strip(" `"): row[2].strip() for row in rows}
    kept = [field for kind in (SamplingParams, TokenRules, TextEnds) for field in fields(kind)]
    assert told.keys() == {field.name for field in kept} | {"max_time"}
    for field in kept:
        if isinstance(field.default, (int, float)):
            assert told[field.name] == f"{field.default:g}" or told[field.name] == "False"
        elif field.default is None and field.name != "samplers":
            assert told[field.name] == "None"
    for name, (low, high) in RANGES.items():
        row = next(row for row in rows if row[1].strip(" `") == name)
        assert f"{low:g} to {high:g}".replace("e+0", "e") in row[3], name
