"""GBNF as Lark: the same texts belong to both.

Source of the grammars: llama.cpp's grammars/README.md; the texts follow from the rules by hand.
"""

from __future__ import annotations

from typing import Any

import pytest

from halfbyte.constraints import gbnf
from halfbyte.errors import RequestError

JSON = r"""
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws

object ::=
  "{" ws (
            string ":" ws value
    ("," ws string ":" ws value)*
  )? "}" ws

array  ::=
  "[" ws (
            value
    ("," ws value)*
  )? "]" ws

string ::=
  "\"" (
    [^"\\\x7F\x00-\x1F] |
    "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) # escapes
  )* "\"" ws

number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws

# Optional space: by convention, applied in this grammar after literal chars when allowed
ws ::= | " " | "\n" [ \t]{0,20}
"""
YES: list[tuple[str, list[str], list[str]]] = [
    ('root ::= "a" | [b-d]+ "e"?', ["a", "bcd", "de"], ["", "ae", "bcf"]),
    ('root ::= [a-z]+ "ab"', ["abcab", "aab", "zab"], ["ab", "abc"]),  # not the longest first
    ('root ::= part "ab"\npart ::= [a-z] part | [a-z]', ["abcab", "aab", "zab"], ["ab", "abc"]),
    ('root ::= "a"{2} b{1,} (c | "d"){0,2}\nb ::= "b"\nc ::= "c"',
     ["aab", "aabbcd"], ["ab", "aa", "aabccc"]),
    ('root ::= item-1 (\n  "," item-1\n)* # more\nitem-1 ::= [0-9]', ["1", "1,2,3"], ["1,", ","]),
    (r'root ::= "\x41\u00e9\U0001F600\\\"\n" [\]\-^]', ['Aé😀\\"\n]', 'Aé😀\\"\n-', 'Aé😀\\"\n^'],
     ['Aé😀\\"\n']),
    ("root ::= . [^\\n] [a-]", ["\nx-", "éxa"], ["x\na", "xa"]),
    ('root ::= "" "x" | "("\n', ["x", "("], ["()"]),
    ('root ::= ("a" "b"?)* "c"', ["c", "aabc"], ["bc"]),
    ('root ::= "ab"{2}', ["abab"], ["ab", "abb"]),  # all of a text repeats
    (JSON, ['{}', '{"a":[1,-2.5e3],"b":{"c":"\\n\\u00e9"}}', '{"a": true}'],
     ["{", "[]", '{"a"}', "{'a':1}", '{"a":01}']),
    ('root ::= "(" root ")" | "x"', ["x", "((x))"], ["(x", "()"]),
]  # fmt: skip


@pytest.mark.parametrize(("grammar", "yes", "no"), YES)
def test_the_same_texts_belong_to_it(
    compiled: Any, grammar: str, yes: list[str], no: list[str]
) -> None:
    assert gbnf.is_gbnf(grammar)
    made = compiled(grammar=grammar)
    assert [text for text in yes if not made.accepts(text)] == []
    assert [text for text in no if made.accepts(text)] == []


def test_lark_is_not_taken_for_it() -> None:
    assert not gbnf.is_gbnf('start: "::=" NAME\nNAME: /[a-z]+/')


def test_many_rules_take_a_moment() -> None:
    n = 8000
    rules = "\n".join(f"r{i} ::= r{i + 1}" for i in range(n))
    assert gbnf.to_lark(f'root ::= r0\n{rules}\nr{n} ::= "a"').count("\n") == n + 2
    with pytest.raises(RequestError, match="a finite text meets"):
        gbnf.to_lark(f"root ::= r0\n{rules}\nr{n} ::= r0")


@pytest.mark.parametrize(
    ("grammar", "text"),
    [
        ('root ::= <[10]> "a"', "no token by its id or name (not to be had here), got '<[10]> \"a"),
        ('root ::= !<think> "a"', "expected no token by its id or name"),
        ('start ::= "a"', "expected a rule root, got start"),
        ("root ::= other", "expected a rule other, got none, in root"),
        ('root ::= "a" root', "expected rules that a finite text meets, got root"),
        ('root ::= a\na ::= "x" b\nb ::= a', "a finite text meets, got root, a, b"),
        ('root ::= "a', "expected the end of a text or set"),
        ("root ::= [", "expected the end of a text or set"),
        ("root ::= []", "expected a set of characters that is not empty"),
        ("root ::= [z-a]", "expected a range from the lower character"),
        ('root ::= "a"{3,2}', "expected {m,n} with m up to n"),
        ('root ::= "a"{x}', "expected {m}, {m,} or {m,n}"),
        ('root ::= "a"{3000}', "expected at most 2000 repetitions"),
        (r'root ::= "\q"', "expected an escape that names a character"),
        (r'root ::= "\uD800"', "expected an escape that names a character"),
        (r'root ::= "\u12"', "expected an escape that names a character"),
        ("root ::= *", "expected a text, a set, a name or ("),
        ('root ::= ("a"', "expected ')'"),
        ('root ::= "a")', "expected the end of the rule, got ')' in line 1"),
        ('root ::= "a"\n= "b"', "expected a rule's name, got '= \"b\"' in line 2"),
        ('root ::= "a"\nb "b"', "expected '::='"),
        ("root ::= " + "(" * 200, "expected brackets 100 deep at most"),
    ],
)  # fmt: skip
def test_what_is_not_to_be_had_is_named(grammar: str, text: str) -> None:
    with pytest.raises(RequestError) as caught:
        gbnf.to_lark(grammar)
    assert caught.value.param == "grammar" and text in str(caught.value)
