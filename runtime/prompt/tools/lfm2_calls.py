"""LFM2's way: a list of calls as Python writes them, with arguments by name.

Source: the model cards and chat templates of LFM2 and LFM2.5; llama.cpp's parser, for the words of
JSON that models write besides.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from halfbyte.prompt.tools.call_format import (
    NO_FUNCTIONS,
    Call,
    CallFormat,
    Functions,
    MalformedCall,
    is_within,
)
from halfbyte.prompt.tools.call_grammar import JSON_STYLE, Number, Spell, quoted
from halfbyte.prompt.tools.parameters import TEXT, Parameters
from halfbyte.prompt.tools.python_values import TEXTS, Reader, spelled

_NOTHING = '""'
_MOST_IN_ANY_ORDER = 5  # required arguments: each choice of them has a rule
# Values of which a schema says no more than their kind. Templates write a text's lines as they are.
_VALUES = r"""value: STRING | NUMBER | "True" | "False" | "None" | list | mapping
list: "[" (value (", " value)*)? "]"
mapping: "{" (STRING ": " value (", " STRING ": " value)*)? "}"
STRING: /'([^'\\]|\\(?s:.))*'/ | /"([^"\\]|\\(?s:.))*"/
NUMBER: /-?(0|[1-9][0-9]{0,15})(\.[0-9]{1,16})?([eE][+-]?[0-9]{1,2})?/
KEY: /[A-Za-z_][A-Za-z0-9_]{0,127}/
"""
_KINDS = {
    TEXT: "STRING",
    "boolean": '("True" | "False")',
    "null": '"None"',
    "array": "list",
    "object": "mapping",
}


class Lfm2(CallFormat):
    """<|tool_call_start|>[name(key='text', other=3), ...]<|tool_call_end|>."""

    name = "lfm2"
    begins = ("<|tool_call_start|>",)
    end = "<|tool_call_end|>"

    def is_open(self, text: str) -> bool:
        """Whether a text between quotes of either kind has no end."""
        return is_within(TEXTS, text)

    def parse(self, text: str, functions: Functions = NO_FUNCTIONS) -> list[Call]:
        """The calls of a list; one alone may stand without brackets."""
        reader, calls = Reader(text), list[Call]()
        if reader.skip() == "[":
            reader.at += 1
            reader.listed("]", lambda: calls.append(reader.call()))
        else:
            calls.append(reader.call())
        if reader.skip():
            raise reader.bad("the list's end")
        if not calls:
            raise MalformedCall("expected calls, got none")
        return calls

    def grammar(self, functions: Functions, spell: Spell, number: Number = "any") -> str:
        """A list of calls and its end."""
        names = " | ".join(f"c{i}" for i in range(len(functions)))
        more = "" if number in ("one", "optional") else ' (", " call)*'
        rules = [f'start: "[" call{more} "]" {spell(self.end)}\ncall: {names}\n']
        for i, (name, function) in enumerate(functions.items()):
            rules.append(f'c{i}: {quoted(f"{name}(")} a{i} ")"\n')
            rules += _arguments(f"a{i}", Parameters(function["parameters"]))
        return "".join(rules) + _VALUES

    def opening(self, name: str | None) -> str:
        """The mark and the function's name."""
        begin = f"{self.begins[0]}["
        return begin if name is None else f"{begin}{name}("

    def written(self, calls: Sequence[Call]) -> list[str]:
        """One list of all calls."""
        made = []
        for name, arguments in calls:
            given = [f"{key}={spelled(value)}" for key, value in arguments.items()]
            made.append(f"{name}({', '.join(given)})")
        return [self.begins[0], f"[{', '.join(made)}]", self.end]


def _arguments(rule: str, parameters: Parameters) -> Iterator[str]:
    """All that are required, in any order, and others among them, with commas between.

    Of a rule's name, `left` and a number say which of those that are required are still to come.
    """
    rules = {name: f"{rule}_{j}" for j, name in enumerate(parameters.known)}
    for name, one in rules.items():
        yield from _argument(one, name, parameters)
    required = [rules.pop(name) for name in dict.fromkeys(parameters.required)]
    others = [*rules.values(), *([f"{rule}_other"] if parameters.has_others else [])]
    if parameters.has_others:
        yield f'{rule}_other: KEY "=" value\n'
    whole = (1 << len(required)) - 1
    left, seen = [whole], {whole}
    first = _next_of(whole, required, others, rule)
    yield f"{rule}: {' | '.join(first if whole else [_NOTHING, *first])}\n"
    while left:
        mask = left.pop()
        ways = [f'", " {one}' for one in _next_of(mask, required, others, rule)]
        yield f"{rule}_left{mask}: {' | '.join(ways if mask else [_NOTHING, *ways])}\n"
        rests = {mask & ~(1 << j) for j in _choices(mask, len(required))} - seen
        left, seen = [*left, *sorted(rests)], seen | rests


def _next_of(mask: int, required: list[str], others: list[str], rule: str) -> list[str]:
    """What may come next, and behind it the rule of what is left then."""
    ways = [f"{required[j]} {rule}_left{mask & ~(1 << j)}" for j in _choices(mask, len(required))]
    return ways + [f"{one} {rule}_left{mask}" for one in others]


def _choices(mask: int, n: int) -> list[int]:
    left = [j for j in range(n) if mask >> j & 1]
    return left if n <= _MOST_IN_ANY_ORDER else left[:1]


def _argument(rule: str, name: str, parameters: Parameters) -> Iterator[str]:
    """`name=value`, of the kinds that its schema allows."""
    yield f"{rule}: {quoted(f'{name}=')} {rule}_value\n"
    yield from _value(f"{rule}_value", name, parameters)


def _value(rule: str, name: str, parameters: Parameters) -> Iterator[str]:
    kinds, texts = parameters.kinds(name), parameters.texts(name)
    numbers = kinds & {"integer", "number"}
    if texts:
        ways = [
            quoted(form)
            for text in texts
            for form in (repr(text), json.dumps(text, ensure_ascii=False))
        ]
    elif kinds == {"object"} or (numbers and kinds == numbers):  # which Python writes alike
        schema = {**parameters.schema(name), "x-guidance": JSON_STYLE}
        yield f"{rule}: %json {json.dumps(schema)}\n"
        return
    elif kinds == {"array"}:
        yield from _list(rule, parameters.schema(name))
        return
    else:
        ways = [_KINDS.get(kind, "NUMBER") for kind in sorted(kinds)] or ["value"]
    yield f"{rule}: {' | '.join(dict.fromkeys(ways))}\n"


def _list(rule: str, schema: Mapping[str, Any]) -> Iterator[str]:
    """A list whose items are of the kinds that its schema says."""
    items, least, most = (schema.get(key) for key in ("items", "minItems", "maxItems"))
    item, least = "value", least if isinstance(least, int) else 0
    if isinstance(items, Mapping):
        item = f"{rule}_item"
        yield from _value(item, "item", Parameters({**schema, "properties": {"item": items}}))
    if most == 0:
        yield f'{rule}: "[" "]"\n'
        return
    count = f"{max(least - 1, 0)},{'' if most is None else most - 1}"
    whole = f'{item} (", " {item}){{{count}}}'
    yield f'{rule}: "[" {whole if least else f"({whole})?"} "]"\n'
