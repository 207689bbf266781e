"""What a prompt begins with, whatever the protocol, and who has seen it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfbyte.ray.prefixes import BLOCK, Seen, digests, prompt_text, ranked


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"prompt": "a", "model": "m", "suffix": "b"}, "a\nb"),
        ({"messages": [{"role": "user", "content": "hi"}], "system": "s"}, "s\nuser\nhi"),
        ({"prompt": [1, 2, [3]]}, "1\n2\n3"),
        ([], ""),
    ],
)
def test_texts_of_a_prompt(body: object, expected: str) -> None:
    assert prompt_text(json.dumps(body).encode()) == expected


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_request_has_no_prompt(body: bytes) -> None:
    assert prompt_text(body) == ""


@given(st.text(min_size=BLOCK, max_size=4 * BLOCK), st.text(max_size=2 * BLOCK))
def test_a_beginning_has_the_same_digests(text: str, more: str) -> None:
    n = len(text) // BLOCK
    assert digests(text + more)[:n] == digests(text)[:n]
    assert len(set(digests(text + more))) == len(digests(text + more))


def test_who_has_seen_a_beginning() -> None:
    seen = Seen(n_most=3)
    long, other = digests("a" * 4 * BLOCK), digests("b" * 2 * BLOCK)
    seen.add("first", long[:2])
    seen.add("second", other)
    assert [seen.n_known(name, long) for name in ("first", "second", "third")] == [2, 0, 0]
    seen.add("first", other)  # one of the five is forgotten: the end of what came first
    assert seen.n_known("first", other) == 2 and seen.n_known("first", long) == 1
    seen.keep({"second"})
    assert seen.n_known("first", long) == 0 and seen.n_known("second", other) == 2


def test_the_busy_are_not_chosen_for_what_they_know() -> None:
    known = {"a": 5, "b": 2, "c": 0}
    assert ranked({"a": 1, "b": 0, "c": 0}, known, 4) == [["a"], ["b"], ["c"]]
    assert ranked({"a": 9, "b": 0, "c": 1}, known, 4) == [["b"], ["c", "a"]]
    assert ranked({}, {}, 4) == []
