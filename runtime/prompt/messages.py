"""The messages of a conversation, checked, and as templates want them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from halfbyte.errors import RequestError
from halfbyte.tokenizer.tokenizer import check_text

Message = Mapping[str, object]
# What is said wherever an image is given, in every protocol.
NO_IMAGES = "text alone, since the models read no images"
_CALL = 'a call: {"function": {"name": ..., "arguments": ...}}'


def check_messages(messages: object) -> list[Message]:
    """The messages, each a mapping with a role and a text.

    An assistant's that has `tool_calls` needs no text. Their arguments, a mapping or the JSON text
    of one, become the mapping that templates expect.

    Raises:
        RequestError: one is something else, and which; TokenizerError: it holds lone surrogates.
    """
    is_list = isinstance(messages, Sequence) and not isinstance(messages, (str, bytes))
    if not is_list or not messages:
        raise RequestError(
            "messages", expected='a list of {"role": ..., "content": ...}', got=messages
        )
    return [_checked(message, i) for i, message in enumerate(messages)]  # type: ignore[arg-type,var-annotated]


def need(is_met: bool, expected: str, i: int | None = None, got: object = None) -> None:
    """RequestError about message i, or about all of them, where something is not met."""
    if not is_met:
        param = "messages" if i is None else f"messages[{i}]"
        raise RequestError(param, expected=expected, got=got)


def _checked(message: Any, i: int) -> Message:
    need(isinstance(message, Mapping), "a mapping with role and content", i, message)
    calls = message.get("tool_calls")
    if "tool_calls" in message and not calls:  # some templates only look whether the key is there
        message = {key: value for key, value in message.items() if key != "tool_calls"}
    elif calls and message.get("role") == "assistant":
        is_list = isinstance(calls, Sequence) and not isinstance(calls, (str, bytes))
        need(is_list, "tool_calls: a list", i, calls)
        content = message.get("content")
        message = {
            **message,
            "content": "" if content is None else content,
            "tool_calls": [_call(call, i) for call in calls],
        }
    need(not _has_images(message.get("content")), f"content: {NO_IMAGES}", i, "an image")
    for key in ("role", "content"):
        need(isinstance(message.get(key), str), f"{key}: a text", i, message.get(key))
        check_text(message[key], f"messages[{i}].{key}")
    return message


def _has_images(content: object) -> bool:
    """Whether it is a list of parts, as OpenAI's and Anthropic's interfaces have it, with one."""
    parts = content if isinstance(content, list) else []
    return any("image" in str(part.get("type")) for part in parts if isinstance(part, Mapping))


def _call(call: Any, i: int) -> dict[str, Any]:
    function: Any = call.get("function") if isinstance(call, Mapping) else None
    need(isinstance(function, Mapping), f"tool_calls: {_CALL}", i, call)
    name, arguments = function.get("name"), function.get("arguments", {})
    need(isinstance(name, str) and bool(name), f"tool_calls: {_CALL}", i, call)
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}")
        except (ValueError, RecursionError) as error:
            need(False, "tool_calls: arguments that are JSON", i, str(error))
    need(isinstance(arguments, Mapping), "tool_calls: arguments: a mapping", i, arguments)
    return {**call, "type": "function", "function": {**function, "arguments": arguments}}
