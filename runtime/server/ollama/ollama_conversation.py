"""Messages as Ollama's clients send them, in the shape that `chat` takes."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from halfbyte.server.call_ids import plain_id
from halfbyte.server.fields import Fields
from halfbyte.server.ollama.generate import check_no_images
from halfbyte.server.ollama.ollama_answers import CALL_PREFIX


class CalledFunction(Fields):
    """A function that was called."""

    unused: ClassVar[frozenset[str]] = frozenset({"index", "description"})
    name: str
    arguments: dict[str, Any] | None = None


class OllamaCall(Fields):
    """A call of an earlier answer."""

    id: str | None = None
    function: CalledFunction


class OllamaMessage(Fields):
    """A message."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str | None = None
    thinking: str | None = None
    images: list[Any] | None = None
    tool_calls: list[OllamaCall] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None


def conversation(messages: list[OllamaMessage]) -> list[dict[str, Any]]:
    """The messages for `chat`.

    Many clients know no ids of calls: then a result is that of the first call of its function
    which has none yet, or where it names none, of the first call.

    Raises:
        Fault: one has images.
    """
    made: list[dict[str, Any]] = []
    open_calls: list[dict[str, Any]] = []
    for i, message in enumerate(messages):
        check_no_images(message.images, f"messages.{i}.images")
        plain: dict[str, Any] = {"role": message.role, "content": message.content or ""}
        if message.thinking and message.role == "assistant":
            plain["reasoning_content"] = message.thinking
        if message.tool_calls and message.role == "assistant":
            open_calls = plain["tool_calls"] = [
                _call(call, f"{i}.{j}") for j, call in enumerate(message.tool_calls)
            ]
            open_calls = list(open_calls)
        elif message.role == "tool":
            plain |= _answered(message, open_calls)
        made.append(plain)
    return made


def _call(call: OllamaCall, place: str) -> dict[str, Any]:
    function = {"name": call.function.name, "arguments": call.function.arguments or {}}
    known = plain_id(call.id or place, CALL_PREFIX)
    return {"id": known, "type": "function", "function": function}


def _answered(message: OllamaMessage, open_calls: list[dict[str, Any]]) -> dict[str, Any]:
    """The call that a message has the result of; one that is nobody's keeps what it says."""
    name, given = message.tool_name, message.tool_call_id
    if given:
        known = plain_id(given, CALL_PREFIX)
        mine = [call for call in open_calls if call["id"] == known]
    else:
        known = plain_id(name or "", CALL_PREFIX)
        mine = [call for call in open_calls if name in (None, call["function"]["name"])]
    if not mine:
        return {"tool_call_id": known, **({"name": name} if name else {})}
    open_calls.remove(mine[0])
    return {"tool_call_id": mine[0]["id"], "name": mine[0]["function"]["name"]}
