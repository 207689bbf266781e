"""The input of a response, item by item, as the messages of a conversation.

An answer's thoughts, text and calls are items of their own there and one message here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from halfbyte.server.fault import refused
from halfbyte.server.openai.chat_messages import ContentPart, text_of
from halfbyte.server.openai.namespaces import full_name
from halfbyte.server.openai.response_fields import InputItem

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


def input_messages(
    given: str | Sequence[InputItem], instructions: str | None = None
) -> list[dict[str, Any]]:
    """The messages as `Model.chat` takes them.

    The instructions and the system's or developer's messages at the beginning are one message,
    since many templates take no more.

    Raises:
        Fault: an item that means nothing here; `param` names it.
    """
    made = _Messages()
    if instructions:
        made.add({"role": "system", "content": instructions})
    if isinstance(given, str):
        made.add({"role": "user", "content": given})
        return made.messages
    for i, item in enumerate(given):
        made.take(item, f"input.{i}")
    return made.messages


class _Messages:
    """Messages in the making."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self._answer: dict[str, Any] | None = None  # what an assistant's items go to

    def add(self, message: dict[str, Any]) -> None:
        """Another message, or more of the system's first one."""
        self._answer = None
        is_system = message["role"] == "system" and len(self.messages) == 1
        if is_system and self.messages[0]["role"] == "system":
            first = self.messages[0]
            first["content"] = f"{first['content']}\n\n{message['content']}"
        else:
            self.messages.append(message)

    def take(self, item: InputItem, where: str) -> None:
        """An item."""
        if item.type == "message":
            self._message(item, where)
        elif item.type == "function_call":
            function = {
                "name": full_name(item.namespace, _needed(item.name, f"{where}.name")),
                "arguments": _needed(item.arguments, f"{where}.arguments"),
            }
            call = {"id": item.call_id, "type": "function", "function": function}
            self._answering().setdefault("tool_calls", []).append(call)
        elif item.type == "function_call_output":
            if item.output is None:
                raise refused(f"{where}.output", "a text or a list of texts", None)
            content = text_of(item.output, f"{where}.output")
            made = {"role": "tool", "content": content}
            self.add(made if item.call_id is None else {**made, "tool_call_id": item.call_id})
        elif item.type == "reasoning":
            thought = _thought(item, where)
            if thought:
                self._answering("reasoning_content")["reasoning_content"] = thought
        else:
            expected = "message, function_call, function_call_output or reasoning"
            raise refused(f"{where}.type", expected, item.type)

    def _message(self, item: InputItem, where: str) -> None:
        role = _ROLES.get(item.role or "")
        if role is None:
            raise refused(f"{where}.role", f"one of {', '.join(_ROLES)}", item.role)
        if item.content is None:
            raise refused(f"{where}.content", "a text or a list of texts", None)
        content = text_of(item.content, f"{where}.content")
        if role == "assistant":
            self._answering("content")["content"] = content
        else:
            self.add({"role": role, "content": content})

    def _answering(self, part: str = "tool_calls") -> dict[str, Any]:
        """The answer that a part belongs to: a new one where it comes after what follows it."""
        later = {"reasoning_content": ("content", "tool_calls"), "content": ("tool_calls",)}
        known = self._answer
        is_new = known is None or any(known.get(name) for name in (part, *later.get(part, ())))
        if known is None or (is_new and part != "tool_calls"):
            known = {"role": "assistant", "content": ""}
            self.messages.append(known)
            self._answer = known
        return known


def _thought(item: InputItem, where: str) -> str:
    """What was thought, else its summary."""
    if item.content:
        return _parts(item.content, f"{where}.content")
    return _parts(item.summary or [], f"{where}.summary")


def _parts(parts: str | list[ContentPart], where: str) -> str:
    if isinstance(parts, str):
        return parts
    texts: list[str] = []
    for i, part in enumerate(parts):
        if part.type not in ("reasoning_text", "summary_text") or part.text is None:
            raise refused(f"{where}.{i}.type", "reasoning_text or summary_text", part.type)
        texts.append(part.text)
    return "\n\n".join(texts)


def _needed(value: str | None, where: str) -> str:
    if value is None:
        raise refused(where, "a text", None)
    return value
