"""`/v1/edit` gives what `edit` gives."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

import halfbyte
from halfbyte.server.openai.next_edits import EDITS

TEXT = "s = '😀é'\ndef add(a, b):\r\n    retu\r\n\r\nprint(add(1, 2))\r\n"
AT = TEXT.index("retu") + 4
BODY: dict[str, Any] = {"path": "a.py", "text": TEXT, "cursor": AT, "max_tokens": 12}
MORE = {
    "history": [{"path": "b.py", "old": "x\n", "new": "y\n", "line": 3, "accepted": True}],
    "related": [{"path": "c.py", "text": "z = 1\n"}],
    "diagnostics": [{"message": "odd", "line": 2, "source": "mypy"}, {"message": "even"}],
}


def edit(http: httpx.Client, **more: Any) -> dict[str, Any]:
    answer = http.post(EDITS[0].path, json={**BODY, **more})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_the_edit_is_the_library_s(http: httpx.Client, model: halfbyte.Model) -> None:
    expected = model.edit(
        "a.py", TEXT, AT, max_tokens=12,
        history=[halfbyte.PastEdit("b.py", "x\n", "y\n", 3, True)], related={"c.py": "z = 1\n"},
        diagnostics=[halfbyte.Diagnostic("odd", 2, "mypy"), halfbyte.Diagnostic("even")],
    )  # fmt: skip
    got = edit(http, **MORE, full_text=True)
    assert (got["start"], got["end"], got["text"]) == (expected.start, expected.end, expected.text)
    assert (got["jump"], got["format"], got["is_empty"]) == (None, "fim", False)
    assert got["full_text"] == expected.full_text and got["object"] == "edit"
    assert got["left_out"] == list(expected.left_out) != []
    assert got["usage"]["prompt_tokens"] == expected.stats.n_prompt
    assert "full_text" not in edit(http)
    drawn = {"temperature": 0.9, "seed": 5, "top_k": 40, "top_p": 0.9, "min_p": 0.01}
    assert edit(http, **drawn)["text"] == model.edit("a.py", TEXT, AT, max_tokens=12, **drawn).text


@pytest.mark.parametrize(("unit", "n_more"), [("utf-32", 0), ("utf-16", 1), ("utf-8", 4)])
def test_offsets_are_counted_as_the_client_does(http: httpx.Client, unit: str, n_more: int) -> None:
    plain, line = edit(http), TEXT.splitlines()[2]
    for cursor in (AT + n_more, {"line": 3, "column": len(line) + 1}):
        got = edit(http, cursor=cursor, offset_encoding=unit)
        assert (got["start"], got["text"]) == (plain["start"] + n_more, plain["text"])
    # Behind the emoji in its line.
    chars = edit(http, cursor=6)
    assert edit(http, cursor={"line": 1, "column": 7})["text"] == chars["text"]
    column = {"utf-32": 7, "utf-16": 8, "utf-8": 10}[unit]
    got = edit(http, cursor={"line": 1, "column": column}, offset_encoding=unit)
    assert got["text"] == chars["text"] and got["start"] == column - 1


def test_a_stream_ends_with_the_edit(http: httpx.Client, model: halfbyte.Model) -> None:
    lines = http.post("/v1/edit", json={**BODY, "stream": True}).text.split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    *parts, last = (json.loads(line.removeprefix("data: ")) for line in lines[:-2])
    assert (
        "".join(part["text"] for part in parts)
        == model.edit("a.py", TEXT, AT, max_tokens=12).answer
    )
    assert all(part["object"] == "edit.chunk" for part in parts)
    whole = edit(http)
    same = ("object", "start", "end", "text", "jump", "format", "finish_reason", "model")
    assert {n: last[n] for n in same} == {n: whole[n] for n in same}


BAD: list[tuple[str, Any]] = [
    ("path", None), ("path", 5), ("path", ""), ("path", "a\nb"), ("path", "a\0b"),
    ("text", None), ("text", 5), ("text", ["a"]),
    ("cursor", None), ("cursor", -1), ("cursor", 10**6), ("cursor", True), ("cursor", 1.5),
    ("cursor", "1"), ("cursor", {"line": 0, "column": 1}), ("cursor", {"line": 1}),
    ("cursor", {"line": 99, "column": 1}), ("cursor", {"line": 1, "column": 99}),
    ("cursor", [1, 2]),
    ("offset_encoding", "utf-7"), ("offset_encoding", 5),
    ("history", {}), ("history", [{}]), ("history", [{"path": "a", "old": "b", "new": 5}]),
    ("history", [{"path": "a\n", "old": "b", "new": "c"}]),
    ("history", [{"path": "a", "old": "b", "new": "c", "line": 0}]),
    ("history", [{"path": "a", "old": "b", "new": "c"}] * 1025),
    ("related", {"a": "b"}), ("related", [{"path": "a"}]),
    ("related", [{"path": "\r", "text": ""}]),
    ("diagnostics", ["a"]), ("diagnostics", [{"message": "a", "line": True}]),
    ("format", "zeta"), ("format", "sweep-next-edit"), ("window", 0), ("window", 1.5),
    ("max_tokens", -1), ("max_tokens", True), ("temperature", 3), ("top_p", 2), ("top_k", -1),
    ("min_p", -1), ("seed", 1.5), ("prediction", "a"), ("full_text", 1), ("stream", "yes"),
]  # fmt: skip


@pytest.mark.parametrize("name", dict.fromkeys(name for name, _ in BAD))
def test_a_bad_field_is_named(http: httpx.Client, name: str) -> None:
    for value in (value for field, value in BAD if field == name):
        answer = http.post("/v1/edit", json={**BODY, name: value})
        error = answer.json()["error"]
        assert answer.status_code == 400, (value, answer.text)
        assert error["param"].partition(".")[0].partition("[")[0] == name, (value, error)


@pytest.mark.parametrize(("unit", "cursor"), [("utf-8", 7), ("utf-16", 6), ("utf-8", 10**6)])
def test_no_place_is_within_a_character(http: httpx.Client, unit: str, cursor: int) -> None:
    answer = http.post("/v1/edit", json={**BODY, "offset_encoding": unit, "cursor": cursor})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "cursor")


def test_a_format_that_the_model_lacks_is_refused(http: httpx.Client) -> None:
    answer = http.post("/v1/edit", json={**BODY, "format": "sweep"})
    assert answer.status_code == 501
    assert answer.json()["error"]["type"] == "not_supported_error"
