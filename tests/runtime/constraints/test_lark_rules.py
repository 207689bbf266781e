"""How long the texts are that rules force, by hand; and grammars that cannot be read here."""

from __future__ import annotations

import pytest

from halfbyte.constraints.lark_rules import LarkRules, Unclear, lengths

LENGTHS = {
    'start: "abc" /d{4}/': 5 + 4,
    'start: "a" | /bcdef/ "g"': 5 + 3,
    "start: a a b?\na: /xy/{3}\nb: /z/": 2 * 6 + 1,
    "start: (/ab/ | /c/)~2..5 /d/*": 2 * 2 + 1,
    "start: a{2}\na: b{3} | /x/\nb: /yz/": 2 * 3 * 2,
    "start: [/abc/] start2\nstart2: /d/ start | /e/": 3 + 1,
    'start: %json {"const": "abc"} /d/': len('"const": "abc"}') + 1,
    "start: unknown <[3]> @other /a/": 1 + len("<[3]>") + len("@other"),
    "start: A0 A0\n" + "".join(f"A{i}: A{i + 1} A{i + 1}\n" for i in range(9)) + "A9: /x/": 1 << 10,
}


@pytest.mark.parametrize("source", LENGTHS)
def test_lengths_by_hand(source: str) -> None:
    assert lengths(LarkRules(source).written)["start"] == LENGTHS[source]


def test_a_long_chain_takes_a_moment_and_an_endless_one_ends() -> None:
    n = 3000
    chain = "\n".join(f"a{i}: a{i + 1} a{i + 1} | a0" for i in range(n))
    known = lengths(LarkRules(f"start: a0\n{chain}\na{n}: /x/").written)
    assert known[f"a{n}"] == 1 and known["start"] >= 1 << 40


@pytest.mark.parametrize(
    "source", ["start: (", "start: s::1\ns::_ : s", 'start: "a" ) start', "start: {", "start: ~"]
)
def test_what_is_not_understood_is_said(source: str) -> None:
    with pytest.raises(Unclear):
        LarkRules(source)


@pytest.mark.parametrize("text", ['"a"{' + 100_000 * " ", "%json {" + 100_000 * '"\\'])
def test_long_texts_take_a_moment(text: str) -> None:
    with pytest.raises(Unclear):
        LarkRules(f"start: {text}")


def test_counts_of_many_digits_are_read() -> None:
    assert lengths(LarkRules("start: /a/{" + "9" * 5000 + "}").written)["start"] >= 999_999_999
