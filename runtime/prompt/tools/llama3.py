"""Llama 3's way: the whole answer is the JSON of a call, with or without <|python_tag|> before it.

Source: the chat templates of Llama 3.1 and 3.2, and Meta's prompt format for them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from halfbyte.prompt.tools.call_format import Call, CallFormat, MalformedCall, call_of, values_in
from halfbyte.prompt.tools.call_grammar import Number, Spell, call_rules, free_call_rules

_TAG = "<|python_tag|>"
_FIRST_KEY = re.compile(r'\s*\{\s*"([^"\\]*)"\s*:')
_KEYS = ("name", "type", "function")
_ARGUMENTS = ("parameters", "arguments")
_LONGEST = 64  # characters within which the first key has to stand


class Llama3(CallFormat):
    """{"name": ..., "parameters": {...}}; several are divided by semicolons."""

    name = "llama-3"
    begins = (_TAG,)
    key = "parameters"

    def begins_with(self, text: str) -> bool | None:
        """Whether it is an object with the keys of a call."""
        begun = text.lstrip()
        if not begun.startswith("{"):
            return False if begun else None
        found = _FIRST_KEY.match(text)
        if found:
            return found[1] in _KEYS
        return None if len(begun) < _LONGEST else False

    def parse(self, text: str) -> list[Call]:
        """The calls of an answer."""
        values = list(values_in(text))
        if not values:
            raise MalformedCall("expected a call, got nothing")
        return [call_of(value, *_ARGUMENTS) for value in values]

    def grammar(
        self, functions: Mapping[str, Mapping[str, Any]], spell: Spell, number: Number = "any"
    ) -> str:
        """One call, which is all of the answer."""
        return f"start: call\n{call_rules(functions, self.key)}"

    def free_grammar(self, functions: Mapping[str, Mapping[str, Any]], spell: Spell) -> str:
        """One call in the model's own blanks."""
        return free_call_rules(functions, _ARGUMENTS)

    def opening(self, name: str | None) -> str:
        """The function's name."""
        begin = '{"name": "'
        return begin if name is None else f'{begin}{name}", "parameters":'
