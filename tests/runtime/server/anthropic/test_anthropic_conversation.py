"""Turns of blocks become messages that templates know."""

from __future__ import annotations

from typing import Any

import pytest

from halfbyte.server.anthropic.anthropic_conversation import conversation
from halfbyte.server.anthropic.anthropic_fields import PromptFields
from halfbyte.server.fault import Fault


def read(*turns: tuple[str, Any], system: Any = None) -> list[dict[str, Any]]:
    messages = [{"role": role, "content": content} for role, content in turns]
    return conversation(PromptFields.model_validate({"messages": messages, "system": system}))


def text(said: str) -> dict[str, str]:
    return {"type": "text", "text": said}


def used(name: str, id: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": id, "name": name, "input": {"a": 1}}


def result(id: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": id, "content": content, **more}


def test_texts_of_blocks_and_turns_are_joined() -> None:
    made = read(
        ("user", "a"), ("user", [text("b"), text("c")]), ("assistant", "d"), ("assistant", "e"),
        system=[text("be"), text("brief")],
    )  # fmt: skip
    assert made == [
        {"role": "system", "content": "be\n\nbrief"}, {"role": "user", "content": "a\nb\nc"},
        {"role": "assistant", "content": "d\ne"},
    ]  # fmt: skip
    assert read(("user", "a"), system="x")[0] == {"role": "system", "content": "x"}
    assert read(("user", "a"), system=[]) == read(("user", "a"), system="") == read(("user", "a"))


def test_calls_thoughts_and_results() -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    hidden = {"type": "redacted_thinking", "data": "xx"}
    made = read(
        ("user", "a"),
        ("assistant", [thought, hidden, text("b"), used("f", "toolu_abcDEF123"), used("g", "no")]),
        ("user", [text("c"), result("no", [text("1"), text("2")]),
                  result("toolu_abcDEF123", "gone", is_error=True), result("other", None)]),
    )  # fmt: skip
    foreign = made[1]["tool_calls"][1]["id"]
    assert made[1] == {
        "role": "assistant", "content": "b", "reasoning_content": "hm",
        "tool_calls": [
            {"id": "abcDEF123", "type": "function",
             "function": {"name": "f", "arguments": {"a": 1}}},
            {"id": foreign, "type": "function", "function": {"name": "g", "arguments": {"a": 1}}},
        ],
    }  # fmt: skip
    assert made[2] == {"role": "tool", "tool_call_id": foreign, "name": "g", "content": "1\n2"}
    assert made[3]["content"] == "Error: gone" and made[3]["name"] == "f"
    assert "name" not in made[4] and made[4]["content"] == ""
    assert made[5] == {"role": "user", "content": "c"} and len(made) == 6


def test_a_systems_turn_within_is_told_by_the_user() -> None:
    made = read(("user", "a"), ("system", "b"), ("assistant", "c"), ("system", [text("d")]))
    assert [(one["role"], one["content"]) for one in made] == [
        ("user", "a\n<system>\nb\n</system>"), ("assistant", "c"),
        ("user", "<system>\nd\n</system>"),
    ]  # fmt: skip
    made = read(
        ("user", "a"), ("assistant", [used("f", "x"), used("f", "y")]), ("system", "b"),
        ("user", [result("x", "1"), result("y", "2"), text("c")]),
    )  # fmt: skip
    assert [one["role"] for one in made] == ["user", "assistant", "tool", "tool", "user"]
    assert [one["content"] for one in made[2:]] == ["1", "2", "<system>\nb\n</system>\nc"]


def test_documents_are_texts() -> None:
    plain = {"type": "document", "title": "T", "source": {"type": "text", "data": "body"}}
    parts = {"type": "document", "source": {"type": "content", "content": [text("x"), text("y")]}}
    found = {"type": "search_result", "title": "R", "source": "u", "content": [text("z")]}
    (made,) = read(("user", [plain, parts, found]))
    assert made["content"] == "T\nbody\nx\ny\nR\nu\nz"


@pytest.mark.parametrize(
    ("turn", "named"),
    [
        (("user", [{"type": "image"}]), "messages.0.content.0.type"),
        (("user", [text("a"), used("f", "x")]), "messages.0.content.1.type"),
        (("assistant", [result("x", "y")]), "messages.0.content.0.type"),
        (("assistant", [{"type": "thinking"}]), "messages.0.content.0.thinking"),
        (("assistant", [{"type": "tool_use", "id": "x"}]), "messages.0.content.0.name"),
        (("assistant", [{"type": "tool_use", "name": "x"}]), "messages.0.content.0.id"),
        (("user", [result("x", 5)]), "messages.0.content.0.content"),
        (("user", [result("x", [{"type": "tool_reference"}])]),
         "messages.0.content.0.content.0.type"),
        (("user", [{"type": "document", "source": {"type": "text"}}]),
         "messages.0.content.0.source.data"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named(turn: tuple[str, Any], named: str) -> None:
    with pytest.raises(Fault) as caught:
        read(turn)
    assert caught.value.param == named and caught.value.kind == "invalid_request"
