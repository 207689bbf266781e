"""What gpt-oss' template wants otherwise than others; its texts: tokenizer/harmony_texts.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from halfbyte.prompt.messages import Message
from halfbyte.tokenizer.harmony_texts import THOUGHTS


def is_harmony(thoughts: tuple[str, str] | None) -> bool:
    """Whether a model that thinks between these texts writes so."""
    return thoughts == THOUGHTS


def as_messages(messages: Sequence[Message]) -> list[Message]:
    """A conversation as the template takes it.

    Thoughts have another name there; beside a call it takes them or a text, not both.
    """
    made: list[Message] = []
    for message in messages:
        thoughts = message.get("reasoning_content")
        if message["role"] == "assistant" and isinstance(thoughts, str) and thoughts:
            content = "" if message.get("tool_calls") else message["content"]
            message = {**message, "thinking": thoughts, "content": content}
        made.append(message)
    return made


def as_tools(tools: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Functions as the template takes them, each with a description."""
    return [{**tool, "function": {"description": "", **tool["function"]}} for tool in tools]
