"""Hermes' way, which Qwen2.5 and Qwen3 took over: a JSON object between tags for each call.

Source: the function calling of Hermes 2 Pro, and the chat template of Qwen2.5-Instruct.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from halfbyte.prompt.tools.call_format import Call, CallFormat, MalformedCall, call_of, values_in
from halfbyte.prompt.tools.call_grammar import Number, Spell, call_rules


class Hermes(CallFormat):
    """<tool_call> {"name": ..., "arguments": {...}} </tool_call>, as often as there are calls."""

    name = "hermes"
    begins = ("<tool_call>",)
    end = "</tool_call>"

    def parse(self, text: str) -> list[Call]:
        """One call, or several of them."""
        calls = [call_of(value, "arguments", "parameters") for value in values_in(text)]
        if not calls:
            raise MalformedCall("expected an object between the tags, got nothing")
        return calls

    def grammar(
        self, functions: Mapping[str, Mapping[str, Any]], spell: Spell, number: Number = "any"
    ) -> str:
        """A call and its end."""
        start = rf'start: "\n" call "\n" {spell(self.end)}'
        return f"{start}\n{call_rules(functions, self.key)}"

    def opening(self, name: str | None) -> str:
        """The tag and the function's name."""
        begin = '<tool_call>\n{"name": "'
        return begin if name is None else f'{begin}{name}", "arguments":'
