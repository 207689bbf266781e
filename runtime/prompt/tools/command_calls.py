"""Command R7B's way: a list of objects between two tokens, numbered over the conversation.

Source: the chat template of Command R7B (December 2024) for tools.
"""

from __future__ import annotations

from halfbyte.prompt.tools.call_format import (
    NO_FUNCTIONS,
    Call,
    CallFormat,
    Functions,
    MalformedCall,
    call_of,
    values_in,
)
from halfbyte.prompt.tools.call_grammar import Number, Spell, call_rules, quoted

_NUMBER, _NAME = '"tool_call_id": "', "tool_name"


class Command(CallFormat):
    """<|START_ACTION|>[{"tool_call_id": "0", "tool_name": ..., "parameters": {...}}, ...]."""

    name = "command-r7b"
    begins = ("<|START_ACTION|>",)
    end = "<|END_ACTION|>"
    key = "parameters"
    is_last = True

    def parse(self, text: str, functions: Functions = NO_FUNCTIONS) -> list[Call]:
        """The calls of a list, or of objects one after another."""
        values = list(values_in(text))
        listed = [one for v in values for one in (v if isinstance(v, list) else [v])]
        if not listed:
            raise MalformedCall("expected calls, got none")
        named = [{"name": v.get(_NAME), **v} if isinstance(v, dict) else v for v in listed]
        return [call_of(one, self.key, "arguments") for one in named]

    def grammar(self, functions: Functions, spell: Spell, number: Number = "any") -> str:
        """A list of calls, a line each, and its end."""
        more = "" if number in ("one", "optional") else r' (",\n    " call)*'
        numbered = f'{quoted(_NUMBER)} ID "\\", "'
        rules = call_rules(functions, self.key, name_key=_NAME, before=numbered)
        start = rf'start: "[\n    " call{more} "\n]" {spell(self.end)}'
        return f"{start}\nID: /[0-9]{{1,3}}/\n{rules}"

    def opening(self, name: str | None) -> str:
        """The mark, the first number and the function's name."""
        begin = f'{self.begins[0]}[\n    {{{_NUMBER}0", "{_NAME}": "'
        return begin if name is None else f'{begin}{name}", "{self.key}":'
