"""OLMo 3's way: calls as Python writes them, whose arguments are JSON, one a line.

Source: the chat template of Olmo-3-7B-Instruct.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from halfbyte.prompt.tools.call_format import (
    NO_FUNCTIONS,
    Call,
    CallFormat,
    Functions,
    MalformedCall,
    is_within,
)
from halfbyte.prompt.tools.call_grammar import JSON_STYLE, Number, Spell, quoted
from halfbyte.prompt.tools.parameters import Parameters
from halfbyte.prompt.tools.python_values import TEXTS, Reader


class Olmo3(CallFormat):
    """<function_calls>name(key=value, ...)</function_calls>, a line for each call."""

    name = "olmo-3"
    begins = ("<function_calls>",)
    end = "</function_calls>"
    is_last = True

    def is_open(self, text: str) -> bool:
        """Whether a text between quotes of either kind has no end."""
        return is_within(TEXTS, text)

    def parse(self, text: str, functions: Functions = NO_FUNCTIONS) -> list[Call]:
        """The calls between the tags."""
        reader, calls = Reader(text), list[Call]()
        while reader.skip():
            calls.append(reader.call())
        if not calls:
            raise MalformedCall("expected calls, got none")
        return calls

    def grammar(self, functions: Functions, spell: Spell, number: Number = "any") -> str:
        """Calls and their end."""
        more = "" if number in ("one", "optional") else ' ("\\n" call)*'
        names = " | ".join(f"c{i}" for i in range(len(functions)))
        rules = [f'start: "\\n"? call{more} "\\n"? {spell(self.end)}\ncall: {names}\n']
        for i, (name, function) in enumerate(functions.items()):
            rules.append(f'c{i}: {quoted(f"{name}(")} a{i}_0 ")"\n')
            rules += _rules(f"a{i}", Parameters(function["parameters"]))
        return "".join(rules)

    def opening(self, name: str | None) -> str:
        """The tag and the function's name."""
        return self.begins[0] if name is None else f"{self.begins[0]}{name}("


def _rules(rule: str, parameters: Parameters) -> Iterator[str]:
    """Arguments in the schema's order: {rule}_j are those from j on, {rule}_nj behind others."""
    n = len(parameters.known)
    for j, name in enumerate(parameters.known):
        schema = {**parameters.schema(name), "x-guidance": JSON_STYLE}
        yield f"{rule}_v{j}: {quoted(f'{name}=')} %json {json.dumps(schema)}\n"
        skips = "" if name in parameters.required else f" | {rule}_{{}}{j + 1}"
        yield f"{rule}_{j}: {rule}_v{j} {rule}_n{j + 1}{skips.format('')}\n"
        if j:
            yield f'{rule}_n{j}: ", " {rule}_v{j} {rule}_n{j + 1}{skips.format("n")}\n'
    if not parameters.has_others:
        yield f'{rule}_{n}: ""\n{rule}_n{n}: ""\n'
        return
    yield f"{rule}_other: /[^\\s=(),]{{1,128}}=/ %json {json.dumps({'x-guidance': JSON_STYLE})}\n"
    yield f'{rule}_{n}: ({rule}_other {rule}_n{n})?\n{rule}_n{n}: (", " {rule}_other)*\n'
