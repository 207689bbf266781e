"""A system text and turns of blocks, in the shape that `chat` takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from halfbyte.prompt.messages import NO_IMAGES
from halfbyte.server.anthropic.anthropic_fields import Block, PromptFields, Turn
from halfbyte.server.call_ids import plain_id
from halfbyte.server.fault import refused

CALL_PREFIX = "toolu_"
_KINDS = "text, tool_use, tool_result, thinking, redacted_thinking, search_result or document"


def conversation(asked: PromptFields) -> list[dict[str, Any]]:
    """The messages for `chat`; turns of one role that follow each other become one.

    A system's turn within the conversation is told by the user, since many templates know a
    system message at the beginning alone.

    Raises:
        Fault: a block of a kind that models here cannot read, or without what its kind has.
    """
    made: list[dict[str, Any]] = []
    system = _system(asked.system)
    if system:
        made.append({"role": "system", "content": system})
    names: dict[str, str] = {}
    for i, turn in enumerate(asked.messages):
        for message in _messages(turn, f"messages.{i}.content", names):
            if message["role"] == "system":
                message = {"role": "user", "content": f"<system>\n{message['content']}\n</system>"}
            roles = [one["role"] for one in made[-2:]]
            if message["role"] == "tool" and roles in (["assistant", "user"], ["tool", "user"]):
                made.insert(-1, message)  # results follow their calls
            elif roles and roles[-1] == message["role"] != "tool":
                _join(made[-1], message)
            else:
                made.append(message)
    return made


def _system(system: str | list[Block] | None) -> str:
    if system is None or isinstance(system, str):
        return system or ""
    return "\n\n".join(_text(block, f"system.{i}") for i, block in enumerate(system))


def _messages(turn: Turn, where: str, names: dict[str, str]) -> Iterator[dict[str, Any]]:
    """What a turn says: of a user's, the results of calls come first, each a message.

    Args:
        turn: one role's.
        where: its content stands, for errors.
        names: of the functions that were called, by the call's id; what is called is added.
    """
    blocks = [Block(type="text", text=turn.content)] if isinstance(turn.content, str) else None
    blocks = blocks if blocks is not None else list(turn.content)  # type: ignore[arg-type]
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[dict[str, Any]] = []
    n_results = 0
    for j, block in enumerate(blocks):
        place = f"{where}.{j}"
        if block.type == "tool_result" and turn.role == "user":
            n_results += 1
            yield _result(block, place, names)
        elif block.type == "tool_use" and turn.role == "assistant":
            calls.append(_call(block, place, names))
        elif block.type == "thinking" and turn.role == "assistant":
            thoughts.append(_needed(block.thinking, f"{place}.thinking"))
        elif block.type != "redacted_thinking":
            texts.append(_text(block, place))
    if texts or calls or thoughts or not n_results:
        message: dict[str, Any] = {"role": turn.role, "content": "\n".join(texts)}
        if thoughts:
            message["reasoning_content"] = "\n".join(thoughts)
        if calls:
            message["tool_calls"] = calls
        yield message


def _join(before: dict[str, Any], message: dict[str, Any]) -> None:
    for key in ("content", "reasoning_content"):
        parts = [one[key] for one in (before, message) if one.get(key)]
        if parts:
            before[key] = "\n".join(parts)
    if "tool_calls" in message:
        before["tool_calls"] = [*before.get("tool_calls", []), *message["tool_calls"]]


def _call(block: Block, where: str, names: dict[str, str]) -> dict[str, Any]:
    name = _needed(block.name, f"{where}.name")
    known = plain_id(_needed(block.id, f"{where}.id"), CALL_PREFIX)
    names[known] = name
    function = {"name": name, "arguments": block.input or {}}
    return {"id": known, "type": "function", "function": function}


def _result(block: Block, where: str, names: dict[str, str]) -> dict[str, Any]:
    known = plain_id(_needed(block.tool_use_id, f"{where}.tool_use_id"), CALL_PREFIX)
    text = _content(block.content, f"{where}.content")
    if block.is_error:
        text = f"Error: {text}"
    named = {"name": names[known]} if known in names else {}
    return {"role": "tool", "tool_call_id": known, **named, "content": text}


def _content(content: Any, where: str) -> str:
    """A text, or the texts of blocks."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise refused(where, "a text or a list of blocks", content)
    return "\n".join(
        _text(_block(one, f"{where}.{i}"), f"{where}.{i}") for i, one in enumerate(content)
    )


def _block(given: Any, where: str) -> Block:
    if isinstance(given, Block):
        return given
    try:
        return Block.model_validate(given)
    except ValidationError:
        raise refused(where, "a block with a type", given) from None


def _text(block: Block, where: str) -> str:
    """What a block says, as far as it is text."""
    if block.type == "text":
        return _needed(block.text, f"{where}.text")
    if block.type == "search_result":
        head = [part for part in (block.title, block.source) if isinstance(part, str)]
        return "\n".join([*head, _content(block.content, f"{where}.content")])
    if block.type == "document" and isinstance(block.source, dict):
        head = [part for part in (block.title, block.context) if part]
        return "\n".join([*head, _document(block.source, f"{where}.source")])
    if block.type == "image":
        raise refused(f"{where}.type", NO_IMAGES, block.type)
    raise refused(f"{where}.type", f"{_KINDS}, where its role has them", block.type)


def _document(source: dict[str, Any], where: str) -> str:
    if source.get("type") == "text":
        return _needed(source.get("data"), f"{where}.data")
    if source.get("type") == "content":
        return _content(source.get("content"), f"{where}.content")
    raise refused(f"{where}.type", "text or content", source.get("type"))


def _needed(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise refused(where, "a text", value)
    return value
