"""Answers as bytes."""

from __future__ import annotations

from halfbyte.server.reply import dumps, event


def test_json_is_one_line_without_blanks() -> None:
    assert dumps({"content": "a\nü", "n": [1, None]}) == '{"content":"a\\nü","n":[1,null]}'.encode()


def test_an_event_ends_with_an_empty_line() -> None:
    assert event({"a": 1}) == b'data: {"a":1}\n\n'
    assert event({}, "ping") == b"event: ping\ndata: {}\n\n"
