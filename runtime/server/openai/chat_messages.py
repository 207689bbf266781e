"""The messages of a conversation as OpenAI's clients write them, made into the library's."""

from __future__ import annotations

from typing import Any

from halfbyte.prompt.messages import NO_IMAGES
from halfbyte.server.fault import refused
from halfbyte.server.fields import Fields

_ROLES = {
    "system": "system", "developer": "system", "user": "user", "assistant": "assistant",
    "tool": "tool",
}  # fmt: skip
_GONE = {
    "function": "role tool, with the tool_call_id of a call in tool_calls",
    "function_call": "tool_calls",
}


class ContentPart(Fields):
    """A part of a message's content; of all kinds, texts can be read."""

    type: str
    text: str | None = None
    refusal: str | None = None


class CalledFunction(Fields):
    """A function's name, and its arguments as JSON."""

    name: str
    arguments: str | dict[str, Any] = ""


class MadeCall(Fields):
    """A call of an earlier answer."""

    id: str | None = None
    type: str = "function"
    function: CalledFunction | None = None


class ChatMessage(Fields):
    """A message."""

    role: str
    content: str | list[ContentPart] | None = None
    name: str | None = None
    tool_calls: list[MadeCall] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    function_call: dict[str, Any] | None = None


def library_messages(messages: list[ChatMessage]) -> list[dict[str, Any]]:
    """The same as `Model.chat` takes them.

    Raises:
        Fault: a role or a part of a content that no model here can be given; `param` names it.
    """
    return [_message(message, f"messages.{i}") for i, message in enumerate(messages)]


def text_of(content: str | list[ContentPart] | None, where: str) -> str:
    """A content as text: of several parts, each begins a line.

    Raises:
        Fault: a part is no text.
    """
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(_part(part, f"{where}.{i}") for i, part in enumerate(content))


def _message(message: ChatMessage, where: str) -> dict[str, Any]:
    role, content = _ROLES.get(message.role), message.content
    if role is None:
        expected = _GONE.get(message.role) or f"one of {', '.join(_ROLES)}"
        raise refused(f"{where}.role", expected, message.role)
    if message.function_call is not None:
        name = f"{where}.function_call"
        raise refused(name, _GONE["function_call"], message.function_call)
    if content is None and role != "assistant":
        raise refused(f"{where}.content", "a text or a list of texts", None)
    made: dict[str, Any] = {"role": role, "content": text_of(content, f"{where}.content")}
    if role == "assistant" and not made["content"]:
        made["content"] = message.refusal or ""
    for name in ("name", "tool_call_id", "reasoning", "reasoning_content"):
        if (value := getattr(message, name)) is not None:
            made["reasoning_content" if name == "reasoning" else name] = value
    if message.tool_calls:
        made["tool_calls"] = [
            _call(call, f"{where}.tool_calls.{i}") for i, call in enumerate(message.tool_calls)
        ]
    return made


def _part(part: ContentPart, where: str) -> str:
    if part.type == "refusal" and part.refusal is not None:
        return part.refusal
    if part.type not in ("text", "input_text", "output_text"):
        raise refused(f"{where}.type", NO_IMAGES, part.type)
    if part.text is None:
        raise refused(f"{where}.text", "a text", None)
    return part.text


def _call(call: MadeCall, where: str) -> dict[str, Any]:
    if call.type != "function" or call.function is None:
        raise refused(f"{where}.type", "function, and one", call.type)
    function = {"name": call.function.name, "arguments": call.function.arguments}
    return {"id": call.id, "type": "function", "function": function}
