"""Mistral's two ways, old and new: [TOOL_CALLS] and a list, or a name and its arguments each.

Source: mistral-common's tokenizers v3 to v13, and the templates of Mistral Nemo and Devstral.
"""

from __future__ import annotations

import re

from halfbyte.prompt.tools.call_format import (
    NO_FUNCTIONS,
    Call,
    CallFormat,
    Functions,
    MalformedCall,
    call_of,
    named_call,
    values_in,
)
from halfbyte.prompt.tools.call_grammar import Number, Spell, call_rules, named_rules

_MARK, _CALL_ID, _ARGUMENTS = "[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"
_ID = "/[A-Za-z0-9]{1,64}/"  # which some models write, as their templates do
_NAMED = re.compile(r"\s*([^\s\[{]+?)\s*(?:\[CALL_ID\][^\[{]*)?(?:\[ARGS\])?\s*(?=\{)")


class Mistral(CallFormat):
    """[TOOL_CALLS][{"name": ..., "arguments": {...}}, ...] up to the answer's end."""

    name = "mistral"
    begins = (_MARK,)
    texts = (_ARGUMENTS, _CALL_ID)

    def parse(self, text: str, functions: Functions = NO_FUNCTIONS) -> list[Call]:
        """The calls of either way: models write the other one, too."""
        calls: list[Call] = []
        for part in text.split(_MARK):
            if not part.strip():
                continue
            named = _NAMED.match(part)
            if named:
                calls.append(named_call(named[1], part[named.end() :]))
                continue
            for value in values_in(part):
                for one in value if isinstance(value, list) else [value]:
                    calls.append(call_of(one, "arguments", "parameters"))
        if not calls:
            raise MalformedCall("expected calls, got none")
        return calls

    def opening(self, name: str | None) -> str:
        """The mark and the function's name."""
        begin = f'{_MARK}[{{"name": "'
        return begin if name is None else f'{begin}{name}", "arguments":'

    def grammar(self, functions: Functions, spell: Spell, number: Number = "any") -> str:
        """A list of calls."""
        more = "" if number in ("one", "optional") else ' (", " call)*'
        rules = call_rules(functions, self.key, after="id?")
        return f'start: "[" call{more} "]"\nid: ", \\"id\\": \\"" {_ID} "\\""\n{rules}'


class NamedMistral(Mistral):
    """[TOOL_CALLS]name[ARGS]{...}, for each call; perhaps [CALL_ID] and an id before [ARGS]."""

    name = "mistral-args"

    def grammar(self, functions: Functions, spell: Spell, number: Number = "any") -> str:
        """A call, and more of them."""
        more = "" if number in ("one", "optional") else f" ({spell(_MARK)} call)*"
        before = f"({spell(_CALL_ID)} {_ID})? {spell(_ARGUMENTS)}"
        return f"start: call{more}\n{named_rules(functions, before)}"

    def opening(self, name: str | None) -> str:
        """The mark and the function's name."""
        return _MARK if name is None else f"{_MARK}{name}{_ARGUMENTS}"
