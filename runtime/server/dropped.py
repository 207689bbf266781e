"""Parts of prompts that are dropped before they are used, because they change with every turn."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from halfbyte.server.ask import Ask

_SYSTEM = ("system", "developer")


def without(ask: Ask, patterns: Sequence[re.Pattern[str]]) -> Ask:
    """A call without what matches a pattern in its prompt's text or its system messages.

    The texts around a gap and those of edits are files, which stay as they are.
    """
    if not patterns or ask.method not in ("complete", "chat"):
        return ask
    first, *others = ask.arguments
    drop = _prompt if ask.method == "complete" else messages_without
    return replace(ask, arguments=(drop(first, patterns), *others))


def text_without(text: str, patterns: Sequence[re.Pattern[str]]) -> str:
    """A text without what matches a pattern."""
    for pattern in patterns:
        text = pattern.sub("", text)
    return text


def _prompt(prompt: Any, patterns: Sequence[re.Pattern[str]]) -> Any:
    if isinstance(prompt, str):
        return text_without(prompt, patterns)
    if isinstance(prompt, list) and prompt and isinstance(prompt[0], str):
        return [text_without(one, patterns) for one in prompt]
    return prompt  # token ids


def messages_without(messages: Any, patterns: Sequence[re.Pattern[str]]) -> Any:
    """Messages without what matches a pattern in those of the system."""

    def changed(message: Any) -> Any:
        if not isinstance(message, Mapping) or message.get("role") not in _SYSTEM:
            return message
        content = message.get("content")
        if isinstance(content, str):
            content = text_without(content, patterns)
        elif isinstance(content, list):
            content = [
                {**part, "text": text_without(part["text"], patterns)}
                if isinstance(part, Mapping) and isinstance(part.get("text"), str)
                else part
                for part in content
            ]
        return {**message, "content": content}

    return [changed(message) for message in messages]
