"""GLM-4's way: a function's name and its arguments on the next line, as the whole answer.

Source: the chat template of GLM-4-9B-0414, in which a call is an assistant's message whose metadata
is the name, and a result comes from an observation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from halfbyte.prompt.tools.call_format import (
    NO_FUNCTIONS,
    Call,
    CallFormat,
    Functions,
    MalformedCall,
    arguments_of,
    value_at,
)
from halfbyte.prompt.tools.call_grammar import Number, Spell, named_rules

_NEXT = "<|assistant|>"
_NAMED = re.compile(r"\s*([A-Za-z0-9_.-]{1,128}) ?\n\s*(?=\{)")
_BEGUN = re.compile(r"[A-Za-z0-9_.-]{0,128} ?(?:\n\s{0,8})?")


class Glm4(CallFormat):
    """name, a line's end, {...}, as the whole answer."""

    name = "glm-4"
    begins = (_NEXT,)
    tells = "{"

    def begins_with(self, text: str) -> bool | None:
        """Whether it is a name and, on the next line, an object; an answer begins with a line."""
        if text[:1].isspace():
            return False
        if _NAMED.match(text):
            return True
        return None if _BEGUN.fullmatch(text) else False

    def parse(self, text: str, functions: Functions = NO_FUNCTIONS) -> list[Call]:
        """The calls of an answer."""
        calls, at = list[Call](), 0
        while named := _NAMED.match(text, at):
            value, at = value_at(text, named.end())
            calls.append(Call(named[1], arguments_of(value)))
            rest = text[at:].lstrip()
            if not rest:
                return calls
            at = len(text) - len(rest)
            if not rest.startswith(_NEXT):
                break
            at += len(_NEXT)
        raise MalformedCall(f"expected a name and an object, got {text[at:]!r:.80}")

    def grammar(self, functions: Functions, spell: Spell, number: Number = "any") -> str:
        """A call, and more of them."""
        more = "" if number in ("one", "optional") else f" ({spell(_NEXT)} call)*"
        between = '" "? "\\n"'
        return f"start: call{more}\n{named_rules(functions, between)}"

    def opening(self, name: str | None) -> str:
        """The function's name."""
        return "" if name is None else f"{name}\n"

    def retold(self, message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Calls as messages with metadata, a result as an observation."""
        if message["role"] == "tool":
            return [{**message, "role": "observation"}]
        calls = message.get("tool_calls") if message["role"] == "assistant" else None
        if not calls:
            return [message]
        made: list[Mapping[str, Any]] = []
        if str(message["content"]).strip():
            made.append({"role": "assistant", "content": message["content"]})
        for call in calls:
            name, arguments = call["function"]["name"], dict(call["function"]["arguments"])
            text = json.dumps(arguments, ensure_ascii=False)
            made.append({"role": "assistant", "metadata": name, "content": text})
        return made
