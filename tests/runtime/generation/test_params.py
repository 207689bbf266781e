"""SamplingOptions, what checkers know, beside SamplingParams, what is checked at run time."""

from __future__ import annotations

from typing import get_type_hints

import pytest

from halfbyte.errors import RequestError
from halfbyte.generation.call_keywords import SamplingOptions
from halfbyte.generation.params import SamplingParams

# What a caller may write wider than it is kept, with values that show it.
WIDER = {
    "stop": ("a", ["a", "b"]), "stop_tokens": ([1], {2}), "samplers": ("top-k;temp", ["xtc"]),
    "dry_sequence_breakers": (";", ["a", "b"]),
}  # fmt: skip


def test_the_keywords_are_the_fields() -> None:
    options, params = get_type_hints(SamplingOptions), get_type_hints(SamplingParams)
    assert options.keys() == params.keys() and not SamplingOptions.__required_keys__
    assert {name for name in options if options[name] != params[name]} == WIDER.keys()
    for name, values in WIDER.items():
        for value in values:
            kept = getattr(SamplingParams.from_kwargs(**{name: value}), name)
            assert isinstance(kept, tuple)


def test_an_unknown_name_is_told_the_nearest() -> None:
    with pytest.raises(RequestError, match="did you mean max_tokens"):
        SamplingParams.from_kwargs(max_token=3)
