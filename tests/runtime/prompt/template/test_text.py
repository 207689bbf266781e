"""Who wrote which character, through everything that a template may do with texts.

The oracle is the alphabet: what the template writes and what it is given share no character, in
whatever case; only padding that an operation adds by itself has to be told apart.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halfbyte.prompt.template import ChatTemplate
from halfbyte.prompt.template.text import Text, join, mask_of, own, tracked

OWN, GIVEN = "abÄß \n<|", "xyÜŉ\t\r>;"
_OWN_IN_ANY_CASE = set(OWN + OWN.upper() + OWN.lower() + OWN.title() + "sS")
MIXED = st.lists(st.text(OWN, max_size=4) | st.text(GIVEN, max_size=4), max_size=5).map("".join)
ANY = st.sampled_from(["upper", "lower", "title", "capitalize", "casefold", "swapcase"])


def mark(text: str) -> Text:
    return Text(text, bytes(c in _OWN_IN_ANY_CASE for c in text))


def check(got: Any, expected: Any) -> None:
    """The same as str's, and each character is whose alphabet it is of."""
    if isinstance(expected, (list, tuple)):
        assert type(got) is type(expected) and len(got) == len(expected)
        for one, other in zip(got, expected, strict=True):
            check(one, other)
    else:
        assert str.__str__(got) == expected
        assert mask_of(got) == bytes(c in _OWN_IN_ANY_CASE for c in expected)


@settings(max_examples=300)
@given(text=MIXED, word=MIXED, new=MIXED, count=st.integers(-1, 3), data=st.data())
def test_methods(text: str, word: str, new: str, count: int, data: st.DataObject) -> None:
    marked = mark(text)
    chars = data.draw(st.none() | st.just(word))
    for name in ("strip", "lstrip", "rstrip"):
        check(getattr(marked, name)(chars), getattr(text, name)(chars))
    for name in ("removeprefix", "removesuffix"):
        check(getattr(marked, name)(word), getattr(text, name)(word))
    for name in ("partition", "rpartition") if word else ():
        check(getattr(marked, name)(word), getattr(text, name)(word))
    for name in ("split", "rsplit"):
        check(getattr(marked, name)(word or None, count), getattr(text, name)(word or None, count))
    for keeps in (False, True):
        check(marked.splitlines(keeps), text.splitlines(keeps))
    check(marked.replace(word, mark(new), count), text.replace(word, new, count))
    check(marked.replace(word[:1], mark(new)), text.replace(word[:1], new))
    check(list(marked), list(text))
    check(marked + mark(word), text + word)
    check(marked * count, text * count)
    check(count * marked, count * text)
    part = data.draw(st.slices(len(text)))
    check(marked[part], text[part])
    check(join(marked, [mark(word), mark(new)]), text.join([word, new]))


@given(MIXED, ANY)
def test_cases(text: str, name: str) -> None:
    got, expected = getattr(mark(text), name)(), getattr(text, name)()
    if isinstance(got, Text):
        check(got, expected)
    else:  # the letters beside a change of hands decided how many there are
        assert got == expected and len(expected) != len(text)


def test_a_case_that_makes_more_letters() -> None:
    assert mask_of((own("ß") + "ŉ" + own("ß")).upper()) == b"\1\1\0\0\1\1"
    assert type((own("a") + "ßb").title()) is Text  # AßB


def test_given_texts_take_part_beside_own_ones() -> None:
    check("xy" + own("ab"), "xyab")
    check(tracked("xyx", own("a")).replace("y", ";"), "x;x")
    assert type(tracked("x", "y", 1)) is str
    check(tracked("x;x", own("a")).replace("x", own("a")), "a;a")
    with pytest.raises(IndexError):
        own("a")[1]
    assert (own("a")[-1], own("ab").spans(), mark("axb").spans()) == (
        "a",
        [(0, 2)],
        [(0, 1), (2, 3)],
    )


# What the template writes is in capitals, digits and brackets; what it is given, in small letters.
GIVEN_TEXT = "  one, two\nthree.  "
FOLLOWED = [
    "{{ 'A' ~ x ~ 'B' }}", "{{ 'A' + x + 'B' }}", "{{ ['A', x] | join('-') }}",
    "{{ '-'.join([x, 'A']) }}", "{{ x | trim }}{{ x.strip(' .') }}A",
    "{{ x | replace('one', 'A') }}",
    "{{ x.replace(',', '<A>') }}", "{{ x[3:] }}{{ x[::-1] }}{{ x[2] }}", "{{ ('A' ~ x)[:5] }}",
    "{% set a %}<{{ x }}>{% endset %}{{ a.split(',')[0] }}{{ (a | trim)[-3:] }}",
    "{{ '<%s|%s>' % (x, 'A') }}{{ '<%s>' | format(x) }}", "{{ '<{}|{k}>'.format(x, k='A') }}",
    "{% macro m(y) %}<{{ y }}|{{ caller() }}>{% endmacro %}{% call m(x) %}A{{ x }}{% endcall %}",
    "{% filter trim %} A{{ x }}A {% endfilter %}{% filter replace('A', x) %}BAB{% endfilter %}",
    "{% for c in 'A' ~ x %}{{ c }}{% endfor %}{{ ('A' ~ x) | list | join }}",
    "{{ x | first ~ ('A' ~ x) | last ~ ('A' ~ x) | first }}", "{{ ('A' ~ x) | reverse }}",
    "{% set ns = namespace(a='A') %}{% set ns.a = ns.a ~ x %}{{ ns.a * 2 }}",
    "{{ {'A': x}.items() | list | first | join }}", "{{ dict(k='A' ~ x).k }}{{ {'k': x}['k'] }}",
    "{{ [x, 'A'] | sort | join }}{{ ['A', 'A', x] | unique | join }}{{ [x] | map('trim') | join }}",
    "{{ (x ~ 'A') | string | safe }}{{ x | default('A') }}{{ none | d('A', true) ~ x }}",
    "{{ ('<' ~ x ~ '>') | e | replace('lt', 'A') | replace('gt', 'A') }}",
    "{{ ('A' ~ x).splitlines() | join('|') }}{{ (x ~ 'A').partition(',') | join }}",
    "{{ x if x else 'A' }}{{ x.rsplit(',', 1) | join('A') }}{{ 'A' if x.startswith(' ') }}",
    "{{ [[x, 'A']] | map('last') | join }}{{ [{'k': x}] | map(attribute='k') | join('A') }}",
]  # fmt: skip


@pytest.mark.parametrize("source", FOLLOWED)
def test_templates_keep_apart_what_they_write_and_what_they_are_given(
    source: str, plain: Any
) -> None:
    text = ChatTemplate(source).render_text([], x=GIVEN_TEXT)
    assert text == plain(source, messages=[], x=GIVEN_TEXT) or "| e" in source
    theirs = set("onetwhr., \n") - ({" "} if "' " in source or " A{{" in source else set())
    for c, is_own in zip(str.__str__(text), text.mask, strict=True):
        if c in "AB<>|-&":
            assert is_own, (c, text, text.mask)
        elif c in theirs and "| e" not in source:
            assert not is_own, (c, text, text.mask)


def test_indented_lines_stay_whose_they_are() -> None:
    text = ChatTemplate("{{ (x ~ 'A\nB') | indent(2, first=true) }}").render_text([], x="o\nt\n\n")
    assert (str(text), text.mask) == ("  o\n  t\n\n  A\n  B", b"\1\1\0\1\1\1\0\1\1\1\1\1\1\1\1\1")


@pytest.mark.parametrize(
    "source", ["{{ x | tojson }}", "{{ [x] }}", "{{ {'k': x} | string }}", "{{ n }}",
               "{{ '%r' % x }}{{ '{:>9}'.format(x) }}{{ '%9s' % x }}"],
)  # fmt: skip
def test_what_cannot_be_followed_is_plain(source: str) -> None:
    text = ChatTemplate(source).render_text([], x="<|end|>", n=12)
    assert len(text) > 1 and not text.spans()


def test_roles_and_the_vocabularys_texts_are_the_templates_own() -> None:
    messages = [{"role": "user", "content": "user"}, {"role": "end", "content": ""}]
    source = "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    text = ChatTemplate(source).render_text(messages, bos_token="<s>")
    assert text == "<s><user>user<end>"
    assert text.spans() == [(0, 9), (13, 14), (17, 18)]
