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
    value_at,
)
from halfbyte.prompt.tools.call_grammar import Number, Spell, call_rules, named_rules

_MARK, _CALL_ID, _ARGUMENTS = "[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"
_ID = "/[A-Za-z0-9]{1,64}/"  # which some models write, as their templates do
_BETWEEN = re.compile(r"(?:\[TOOL_CALLS\]|[ \t\r\n,;])+")  # calls
_NAMED = re.compile(r"\s*([^\s\[{]+?)\s*(?:\[CALL_ID\][^\[{]*)?(?:\[ARGS\])?\s*(?=\{)")


class Mistral(CallFormat):
    """[TOOL_CALLS][{"name": ..., "arguments": {...}}, ...] up to the answer's end."""

    name = "mistral"
    begins = (_MARK,)
    texts = (_ARGUMENTS, _CALL_ID)

    def parse(self, text: str, functions: Functions = NO_FUNCTIONS) -> list[Call]:
        """The calls of either way: models write the other one, too."""
        calls, at = list[Call](), _next_call(text, 0)
        while at < len(text):
            named = _NAMED.match(text, at)
            value, at = value_at(text, named.end() if named else at)
            if named:
                calls.append(Call(named[1], arguments_of(value)))
            else:
                listed = value if isinstance(value, list) else [value]
                calls += [call_of(one, "arguments", "parameters") for one in listed]
            at = _next_call(text, at)
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


def _next_call(text: str, at: int) -> int:
    """Where the next call begins, or the end."""
    between = _BETWEEN.match(text, at)
    return between.end() if between else at
