"""Calls as a JSON list behind a mark: what such formats have in common."""

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


class Listed(CallFormat):
    """mark [{"name": ..., "arguments": {...}}, ...] end."""

    def parse(self, text: str, functions: Functions = NO_FUNCTIONS) -> list[Call]:
        """The calls of a list, or of objects one after another."""
        calls: list[Call] = []
        for value in values_in(text):
            for one in value if isinstance(value, list) else [value]:
                calls.append(call_of(one, "arguments", "parameters"))
        if not calls:
            raise MalformedCall("expected calls, got none")
        return calls

    def grammar(self, functions: Functions, spell: Spell, number: Number = "any") -> str:
        """A list of calls and its end."""
        more = "" if number in ("one", "optional") else ' ("," " "? call)*'
        end = f" {spell(self.end)}" if self.end else ""
        return f'start: " "? "[" call{more} "]"{end}\n{call_rules(functions, self.key)}'

    def opening(self, name: str | None) -> str:
        """The mark and the function's name."""
        begin = f'{self.begins[0]}[{{"name": "'
        return begin if name is None else f'{begin}{name}", "{self.key}":'

    def written(self, calls: Sequence[Call]) -> list[str]:
        """One list of all calls."""
        made = [{"name": call.name, self.key: call.arguments} for call in calls]
        return [self.begins[0], json.dumps(made, ensure_ascii=False), self.end]
