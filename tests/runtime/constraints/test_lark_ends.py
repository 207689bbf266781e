"""Rules that no finite text meets are told before llguidance looks for their end."""

from __future__ import annotations

import pytest

import halfbyte
from halfbyte.constraints.lark_ends import endless_rules
from halfbyte.constraints.lark_rules import LarkRules

ENDLESS = {
    'start: "x" start': ["start"],
    'start: start "x" | start': ["start"],
    "start: /x+/ start": ["start"],  # which llguidance looks at without end
    "start: /x{1,50}/ loop\nloop: /y+/ loop": ["start", "loop"],
    'start: a\na: "x" b\nb: "y" a': ["start", "a", "b"],
    'start: "a" loop | "b"\nloop: "z" loop': ["loop"],
    'start: ("x" start)+': ["start"],
    'start: a? a\na: "b" a': ["start", "a"],
    'start: a{2}\na: "x" a': ["start", "a"],
    'start: %json {"a": "{", "b": {}} start': ["start"],
    'start[capture]: a\na.2: "x" a': ["start", "a"],
    'start: "|" // "a"\n    start': ["start"],
    "start: <[10]> start": ["start"],
    'root ::= "x" root': ["root"],
    'root ::= "a" loop | "b"\nloop ::= "z" loop': ["loop"],
}
ENDING = (
    'start: "x" start | "y"',
    'start: "x" start?',
    'start: ("x" start)*',
    'start: ["x" start]',
    'start: a{0,3}\na: "x" a',
    'start: a~0..3\na: "x" a',
    'start: a a?\na: "b" | "c" a',
    'start: "a"\n  | "b" start\nunused: "x" unused',
    '%llguidance {"no_forcing": false}\nstart: "y"',
    '// start: x\nstart: /a\\/|b/ | "\\"" start',
    'start: "a" -> x\n  | start "b"',
    'start: "a" -> start',
)


def endless(source: str) -> list[str]:
    return endless_rules(LarkRules(source))


@pytest.mark.parametrize("source", [s for s in ENDLESS if "::=" not in s])
def test_rules_without_an_end_are_named(source: str) -> None:
    assert endless(source) == ENDLESS[source]


@pytest.mark.parametrize("source", [*ENDING, ""])
def test_others_are_not(source: str) -> None:
    assert endless(source) == []


def test_many_rules_take_a_moment() -> None:
    n = 3000
    rules = "\n".join(f'r{i}: r{i + 1} | "a" r{i}' for i in range(n))
    assert len(endless(f"start: r0\n{rules}\nr{n}: r0")) == n + 2
    assert endless(f'start: r0\n{rules}\nr{n}: "a"') == []


@pytest.mark.parametrize("source", ENDLESS)
def test_calls_refuse_them_by_name(infill_model: halfbyte.Model, source: str) -> None:
    with pytest.raises(halfbyte.RequestError) as caught:
        infill_model.complete("x = ", grammar=source)
    assert caught.value.param == "grammar"
    assert str(caught.value.got).split(", ")[-1] == ENDLESS[source][-1]


def test_an_end_that_is_far_away_is_reported_as_missing(infill_model: halfbyte.Model) -> None:
    """What only has an end in principle ends with max_tokens, and says so."""
    for source in ("start: /x{500,}/", 'start: "x" start "y" | "x" start | /z{300}/'):
        done = infill_model.complete("x = ", grammar=source, max_tokens=8)
        assert (done.finish_reason, done.is_complete) == ("length", False)
    assert infill_model.complete("x", grammar="start: /x{3}/").is_complete
