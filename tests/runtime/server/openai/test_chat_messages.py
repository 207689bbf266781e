"""Messages as clients write them, and as the library takes them."""

from __future__ import annotations

from typing import Any

import pytest

from halfbyte.server.fault import Fault
from halfbyte.server.openai.chat_messages import ChatMessage, library_messages

FUNCTION = {"name": "f", "arguments": '{"a": 1}'}
CALL = {"id": "c1", "type": "function", "function": FUNCTION}


def _made(**message: Any) -> dict[str, Any]:
    return library_messages([ChatMessage.model_validate(message)])[0]


def test_roles_and_parts_become_the_library_s() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert _made(role="developer", content=parts) == {"role": "system", "content": "a\nb"}
    assert _made(role="user", content="x", name="Ada") == {
        "role": "user", "content": "x", "name": "Ada",
    }  # fmt: skip
    assert _made(role="tool", content="3", tool_call_id="c1")["tool_call_id"] == "c1"


def test_what_an_assistant_said_may_have_no_content() -> None:
    assert _made(role="assistant", content=None, tool_calls=[CALL]) == {
        "role": "assistant", "content": "", "tool_calls": [CALL],
    }  # fmt: skip
    refusal = [{"type": "refusal", "refusal": "No."}]
    assert _made(role="assistant", content=refusal)["content"] == "No."
    assert _made(role="assistant", refusal="No.")["content"] == "No."
    assert _made(role="assistant", reasoning="hm") == _made(
        role="assistant", reasoning_content="hm"
    ) == {
        "role": "assistant", "content": "", "reasoning_content": "hm",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "function", "content": "x"}, "messages.0.role"),
        ({"role": "robot", "content": "x"}, "messages.0.role"),
        ({"role": "user", "content": None}, "messages.0.content"),
        ({"role": "user", "content": [{"type": "input_audio"}]}, "messages.0.content.0.type"),
        ({"role": "assistant", "function_call": FUNCTION}, "messages.0.function_call"),
        ({"role": "assistant", "tool_calls": [{"id": "1", "type": "custom"}]},
         "messages.0.tool_calls.0.type"),
    ],
)  # fmt: skip
def test_what_no_model_reads_is_refused_by_name(message: dict[str, Any], param: str) -> None:
    with pytest.raises(Fault) as caught:
        _made(**message)
    assert (caught.value.kind, caught.value.param) == ("invalid_request", param)
