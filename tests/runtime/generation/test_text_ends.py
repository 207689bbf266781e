"""What may be asked of an answer's end."""

from __future__ import annotations

import math
from typing import Any

import pytest

from halfbyte.errors import RequestError
from halfbyte.generation.block_ends import BracketEnd, IndentEnd, LateLineEnd
from halfbyte.generation.text_ends import TextEnds


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("stop_indent", value) for value in (0, -1, 10_001, 1.0, math.nan, "4", None, [])],
        *[("stop_brackets", value) for value in (0, 1, "after", None, "", ["before"])],
        *[("line_time", value) for value in (-0.1, math.nan, math.inf, "1", True)],
    ],
)
def test_bad_values_name_the_parameter(name: str, value: Any) -> None:
    with pytest.raises(RequestError) as caught:
        TextEnds.split({name: value})
    assert caught.value.param == name and caught.value.expected


def test_what_comes_of_them() -> None:
    ends, rest = TextEnds.split({"stop_indent": True, "stop_brackets": True, "top_k": 1})
    assert rest == {"top_k": 1}
    indent, bracket = ends.block_ends("def f():\n    x")
    assert isinstance(indent, IndentEnd) and indent.push("\n   y") == 0
    assert isinstance(bracket, BracketEnd) and bracket.push("a)") == 1
    indent, bracket = TextEnds(stop_indent=2, stop_brackets="behind").block_ends("        x")
    assert indent.push("\n  y") == -1 and indent.push("\n z") == 4
    assert bracket.push("a)") == 2
    assert TextEnds().block_ends("    x") == []
    (late,) = TextEnds(line_time=0).block_ends("")
    assert isinstance(late, LateLineEnd) and late.push("a\n") == -1 and late.push("b\n ") == 5


@pytest.mark.parametrize("given", [{"stop_indent": 3}, {"stop_brackets": True}, {"line_time": 0}])
def test_where_there_is_no_cursor(given: dict[str, Any]) -> None:
    TextEnds().check_unused()
    with pytest.raises(RequestError) as caught:
        TextEnds(**given).check_unused()
    assert caught.value.param == next(iter(given))
