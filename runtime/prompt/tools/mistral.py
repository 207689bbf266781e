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
    arguments_of,
    call_of,
    values_in,
)
from halfbyte.prompt.tools.call_grammar import Number, Spell, arguments_rules, call_rules, quoted

_MARK, _ARGUMENTS = "[TOOL_CALLS]", "[ARGS]"
_NAMED = re.compile(r"\s*([^\s\[{]+?)\s*(?:\[CALL_ID\][^\[{]*)?(?:\[ARGS\])?\s*(?=\{)")


class Mistral(CallFormat):
    """[TOOL_CALLS][{"name": ..., "arguments": {...}}, ...] up to the answer's end."""

    name = "mistral"
    begins = (_MARK,)
    texts = (_ARGUMENTS, "[CALL_ID]")

    def parse(self, text: str, functions: Functions = NO_FUNCTIONS) -> list[Call]:
        """The calls of either way: models write the other one, too."""
        calls: list[Call] = []
        for part in text.split(_MARK):
            if not part.strip():
                continue
            named = _NAMED.match(part)
            if named:
                values = list(values_in(part[named.end() :]))
                if len(values) != 1:
                    raise MalformedCall(f"expected one object of arguments, got {len(values)}")
                calls.append(Call(named[1], arguments_of(values[0])))
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
        return f'start: "[" call{more} "]"\n{call_rules(functions, self.key)}'


class NamedMistral(Mistral):
    """[TOOL_CALLS]name[ARGS]{...}, once for each call."""

    name = "mistral-args"

    def grammar(self, functions: Functions, spell: Spell, number: Number = "any") -> str:
        """A call, and more of them."""
        names = " | ".join(f"c{i}" for i in range(len(functions)))
        more = "" if number in ("one", "optional") else f" ({spell(_MARK)} call)*"
        rules = [f"start: call{more}\ncall: {names}\n"]
        for i, name in enumerate(functions):
            rules.append(f"c{i}: {quoted(name)} {spell(_ARGUMENTS)} a{i}\n")
        return "".join(rules) + arguments_rules(functions)

    def opening(self, name: str | None) -> str:
        """The mark and the function's name."""
        return _MARK if name is None else f"{_MARK}{name}{_ARGUMENTS}"
