"""Messages from Ollama's shape to the library's: calls and their results find each other."""

from __future__ import annotations

from typing import Any

from halfbyte.server.ollama.ollama_conversation import OllamaMessage, conversation


def read(*messages: dict[str, Any]) -> list[dict[str, Any]]:
    return conversation([OllamaMessage.model_validate(one) for one in messages])


def called(*names: str, **more: Any) -> dict[str, Any]:
    calls = [{"function": {"name": name, "arguments": {}}, **more} for name in names]
    return {"role": "assistant", "tool_calls": calls}


def test_results_name_the_calls_that_have_none_yet() -> None:
    made = read(
        called("a", "b", "a"), {"role": "tool", "tool_name": "a", "content": "1"},
        {"role": "tool", "content": "2"}, {"role": "tool", "tool_name": "a", "content": "3"},
        called("a"), {"role": "tool", "tool_name": "a", "content": "4"},
    )  # fmt: skip
    first = [call["id"] for call in made[0]["tool_calls"]]
    later = made[4]["tool_calls"][0]["id"]
    assert len({*first, later}) == 4 and all(len(one) == 9 for one in (*first, later))
    ids = [one["tool_call_id"] for one in made if one["role"] == "tool"]
    assert ids == [first[0], first[1], first[2], later]
    assert made[2] == {"role": "tool", "content": "2", "tool_call_id": first[1], "name": "b"}


def test_ids_are_kept_without_what_they_got_here() -> None:
    made = read(
        called("a", id="call_abcDEF123"),
        {"role": "tool", "tool_call_id": "call_abcDEF123", "content": "1"},
    )
    assert made[0]["tool_calls"][0]["id"] == made[1]["tool_call_id"] == "abcDEF123"
    made = read(called("a", id="foreign"), {"role": "tool", "tool_call_id": "foreign"})
    assert made[0]["tool_calls"][0]["id"] == made[1]["tool_call_id"] != "foreign"


def test_a_result_that_is_nobodys_keeps_what_it_says() -> None:
    (made,) = read({"role": "tool", "tool_name": "a", "content": "1"})
    assert made["name"] == "a" and len(made["tool_call_id"]) == 9


def test_thoughts_and_missing_texts() -> None:
    made = read({"role": "assistant", "thinking": "hm", "content": None}, {"role": "user"})
    assert made == [
        {"role": "assistant", "content": "", "reasoning_content": "hm"},
        {"role": "user", "content": ""},
    ]
