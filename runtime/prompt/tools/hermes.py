"""Hermes' way, which Qwen2.5 and Qwen3 took over: a JSON object between tags for each call.

Source: the function calling of Hermes 2 Pro, and the chat template of Qwen2.5-Instruct.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from halfbyte.prompt.tools.call_format import (
    NO_FUNCTIONS,
    Call,
    CallFormat,
    Functions,
    MalformedCall,
    call_of,
    values_in,
)
from halfbyte.prompt.tools.call_grammar import Number, Spell, call_rules


class Hermes(CallFormat):
    """<tool_call> {"name": ..., "arguments": {...}} </tool_call>, as often as there are calls."""

    name = "hermes"
    begins = ("<tool_call>",)
    end = "</tool_call>"

    def parse(self, text: str, functions: Functions = NO_FUNCTIONS) -> list[Call]:
        """One call, or several of them."""
        calls = [call_of(value, "arguments", "parameters") for value in values_in(text)]
        if not calls:
            raise MalformedCall("expected an object between the tags, got nothing")
        return calls

    def grammar(self, functions: Functions, spell: Spell, number: Number = "any") -> str:
        """A call and its end."""
        start = rf'start: "\n" call "\n" {spell(self.end)}'
        return f"{start}\n{call_rules(functions, self.key)}"

    def opening(self, name: str | None) -> str:
        """The tag and the function's name."""
        begin = '<tool_call>\n{"name": "'
        return begin if name is None else f'{begin}{name}", "arguments":'

    def written(self, calls: Sequence[Call]) -> list[str]:
        """A pair of tags for each."""
        parts: list[str] = []
        for name, arguments in calls:
            text = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
            parts += ["<tool_call>", f"\n{text}\n", "</tool_call>", "\n"]
        return parts[:-1]
