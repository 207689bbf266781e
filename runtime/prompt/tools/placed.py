"""Where a chat template takes functions from, and what it makes of calls in a conversation."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from halfbyte.errors import UnsupportedModelError
from halfbyte.lazy_dataclass import dataclass
from halfbyte.prompt.messages import Message
from halfbyte.prompt.tools.call_format import Call, CallFormat
from halfbyte.prompt.tools.formats import GENERIC, format_of
from halfbyte.prompt.tools.generic import told
from halfbyte.prompt.tools.tools import Tools

# Variables that templates take them from; SmolLM3's has the second, without the objects around.
VARIABLES = ("tools", "xml_tools")
# Or from their system message, as Phi-4-mini's does.
SYSTEM, TOLD = "system", "told"
_OF_SYSTEM = re.compile(r"""message(?:\.tools\b|\[\s*['"]tools['"]\s*\])""")
_CALLS = "tool_calls"
# Templates that add a call's arguments to a text: they take them as the JSON that clients have.
_TEXT_ARGUMENTS = re.compile(r"""function(?:\.|['"]\]\[['"])arguments(?:['"]\])?\s*\+""")
_SYSTEM = "You are a helpful assistant with some tools."  # Phi-4-mini's card


@dataclass(frozen=True, slots=True)
class Placed:
    """What a template is given.

    Attributes:
        messages: the conversation.
        calls: how functions are called; None: they are not.
        variables: what else it reads of them.
    """

    messages: Sequence[Message]
    calls: CallFormat | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)


def place_of(source: str, variables: frozenset[str]) -> str:
    """Where a template takes functions from: "" is nowhere.

    A variable, SYSTEM, its system message, or TOLD: it writes calls in a way of its own, of which
    the system message's text has to tell.
    """
    named = next((name for name in VARIABLES if name in variables), "")
    if named:
        return named
    if _OF_SYSTEM.search(source):
        return SYSTEM
    return TOLD if _tells(source) else ""


def _tells(source: str) -> bool:
    try:
        return _CALLS in source and bool(format_of(source, "").told({}))
    except UnsupportedModelError:
        return False


def placed(
    source: str, variables: frozenset[str], messages: Sequence[Message], tools: Tools | None,
    path: str,
) -> Placed:  # fmt: skip
    """A conversation for a template that reads these variables; `path` is its file.

    Raises:
        UnsupportedModelError: it wants calls in a way that is not known here.
    """
    if _TEXT_ARGUMENTS.search(source):
        messages = [_with_texts(message) for message in messages]
    place, form = place_of(source, variables), None
    if not place:
        return Placed(told(messages, tools), None if tools is None else GENERIC)
    try:
        form = format_of(source, path)
    except UnsupportedModelError:
        if tools is not None:
            raise
    if form is not None and (place == TOLD or _CALLS not in source):
        retold = [one for message in messages for one in form.retold(message)]
        messages = retold if place == TOLD else [_spelled_out(m, form) for m in retold]
    if tools is None:
        return Placed(messages)
    if place == SYSTEM:
        return Placed(_with_system(messages, tools), form)
    if place == TOLD and form is not None:
        return Placed(_told(messages, form.told(tools.functions)), form)
    given = tools.as_list if place == "tools" else list(tools.functions.values())
    return Placed(messages, form, {place: given})


def _with_texts(message: Message) -> Message:
    """A message whose calls have their arguments as JSON."""
    calls: Any = message.get(_CALLS)
    if message["role"] != "assistant" or not calls:
        return message
    made = [
        {**call, "function": {**call["function"], "arguments": json.dumps(
            dict(call["function"]["arguments"]), ensure_ascii=False)}}
        for call in calls
    ]  # fmt: skip
    return {**message, _CALLS: made}


def _spelled_out(message: Message, form: CallFormat) -> Message:
    """A message whose calls are part of its text."""
    made: Any = message.get(_CALLS)
    if message["role"] != "assistant" or not made:
        return message
    functions = [call["function"] for call in made]
    parts = form.written([Call(one["name"], dict(one["arguments"])) for one in functions])
    if parts is None:
        return message
    rest = {key: value for key, value in message.items() if key != _CALLS}
    return {**rest, "content": _joined([str(message["content"])], parts)}


def _joined(before: Sequence[str], parts: Sequence[str]) -> str:
    """Others' words and, of the parts, own ones and others' in turns."""
    from halfbyte.prompt.template.text import join, own  # with jinja2, which takes a while

    return join("", [*before, *(part if i % 2 else own(part) for i, part in enumerate(parts))])


def _told(messages: Sequence[Message], parts: Sequence[str]) -> list[Message]:
    """With a word on the functions in the system message."""
    if messages[0]["role"] == "system":
        content = _joined([str(messages[0]["content"]), "\n\n"], parts)
        return [{**messages[0], "content": content}, *messages[1:]]
    return [{"role": "system", "content": _joined([], parts)}, *messages]


def _with_system(messages: Sequence[Message], tools: Tools) -> list[Message]:
    """With the functions, as a text, in the system message."""
    text = json.dumps(list(tools.functions.values()), ensure_ascii=False)
    if messages[0]["role"] == "system":
        return [{**messages[0], "tools": text}, *messages[1:]]
    return [{"role": "system", "content": _SYSTEM, "tools": text}, *messages]
