"""Apertus' way: a list between two tokens, each call an object whose one key is the name.

Source: the chat template of Apertus-8B-Instruct-2509, in which calls stand within a thought, and a
call's result follows right behind it.
"""

from __future__ import annotations

import json

from halfbyte.prompt.tools.call_format import (
    NO_FUNCTIONS,
    Call,
    CallFormat,
    Functions,
    MalformedCall,
    arguments_of,
    values_in,
)
from halfbyte.prompt.tools.call_grammar import Number, Spell, arguments_rules, quoted


class Apertus(CallFormat):
    """<|tools_prefix|>[{name: {...}}, ...]<|tools_suffix|>"""

    name = "apertus"
    begins = ("<|tools_prefix|>",)
    end = "<|tools_suffix|>"
    is_last = ends_thoughts = True

    def parse(self, text: str, functions: Functions = NO_FUNCTIONS) -> list[Call]:
        """The calls of a list."""
        calls: list[Call] = []
        for value in values_in(text):
            for one in value if isinstance(value, list) else [value]:
                if not isinstance(one, dict) or len(one) != 1:
                    raise MalformedCall(f"expected an object with a name, got {one!r:.80}")
                calls += (Call(name, arguments_of(given)) for name, given in one.items())
        if not calls:
            raise MalformedCall("expected calls, got none")
        return calls

    def grammar(self, functions: Functions, spell: Spell, number: Number = "any") -> str:
        """A list of calls and its end."""
        more = "" if number in ("one", "optional") else ' (", " call)*'
        names = " | ".join(f"c{i}" for i in range(len(functions)))
        rules = [f'start: "[" call{more} "]" {spell(self.end)}\ncall: {names}\n']
        for i, name in enumerate(functions):
            rules.append(f'c{i}: {quoted(f"{{{json.dumps(name)}: ")} a{i} "}}"\n')
        return "".join(rules) + arguments_rules(functions)

    def opening(self, name: str | None) -> str:
        """The mark and the function's name."""
        begin = f'{self.begins[0]}[{{"'
        return begin if name is None else f'{begin}{name}": '
