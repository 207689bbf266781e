"""Gemma 4's way: a function's name and its arguments between braces, texts between tokens.

Keys stand bare, and in their order in the alphabet, in which templates write them. Source: the chat
template of gemma-4-31B-it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from halfbyte.prompt.tools.call_format import (
    NO_FUNCTIONS,
    STRICT,
    Call,
    CallFormat,
    Functions,
    MalformedCall,
)
from halfbyte.prompt.tools.call_grammar import JSON_STYLE, Number, Spell, quoted
from halfbyte.prompt.tools.parameters import TEXT, Parameters
from halfbyte.prompt.tools.tagged import UNFOLLOWED, say_unfollowed

QUOTE = '<|"|>'
_NAME = re.compile(r"\s*call:([A-Za-z0-9_.-]{1,128})\s*")
_KEY = re.compile(r"[^\s:,{}\[\]]{1,128}")
_PLAIN = re.compile(r"[^\s,{}\[\]]+")  # a number, true, false or null
_AS_PYTHON = {"None": "null", "True": "true", "False": "false"}  # templates write the first
_BLANKS = re.compile(r"\s*")
_MAX_DEPTH = 64  # of values within values
_MAX_NAMED = 8  # of objects whose keys a grammar names
_MOST_ITEMS = 1024  # of a list whose items have a schema
_AS_JSON = {"number", "integer", "boolean", "null"}  # which are written as in JSON

# What a value may be of which a schema says nothing.
_ANY = """text: {quote} TEXT {quote}
TEXT: {body}
number: /-?(0|[1-9][0-9]{{0,17}})(\\.[0-9]{{1,17}})?([eE][+-]?[0-9]{{1,2}})?/
integer: /-?(0|[1-9][0-9]{{0,17}})/
boolean: "true" | "false"
null: "null"
list: "[" (any ("," any)*)? "]"
object: "{{" (pair ("," pair)*)? "}}"
pair: KEY ":" any
KEY: /[A-Za-z_][A-Za-z0-9_.-]{{0,127}}/
any: text | number | boolean | null | list | object
"""
_RULES = {"string": "text", "number": "number", "integer": "integer", "boolean": "boolean",
          "null": "null", "array": "list", "object": "object"}  # fmt: skip


class Gemma4(CallFormat):
    """<|tool_call>call:name{key:value,...}<tool_call|>, a text as <|"|>text<|"|>."""

    name = "gemma-4"
    begins = ("<|tool_call>",)
    end = "<tool_call|>"
    texts = (QUOTE,)

    def is_open(self, text: str) -> bool:
        """Whether a text between quotes has no end."""
        return text.count(QUOTE) % 2 == 1

    def parse(self, text: str, functions: Functions = NO_FUNCTIONS) -> list[Call]:
        """The one call between the marks."""
        named = _NAME.match(text)
        if named is None:
            raise MalformedCall(f"expected call: and a function's name, got {text!r:.80}")
        reader = _Reader(text, named.end())
        arguments = reader.object(_MAX_DEPTH)
        reader.end()
        return [Call(named[1], arguments)]

    def grammar(self, functions: Functions, spell: Spell, number: Number = "any") -> str:
        """A call and its end."""
        return "".join(_Rules(spell).of(functions, self.end))

    def opening(self, name: str | None) -> str:
        """The mark and the function's name."""
        begin = "<|tool_call>call:"
        return begin if name is None else f"{begin}{name}{{"


class _Reader:
    """Reads values from a place of a text on."""

    def __init__(self, text: str, at: int) -> None:
        self._text, self._at = text, at

    def object(self, n_left: int) -> dict[str, Any]:
        """Keys and values between braces."""
        found: dict[str, Any] = {}
        self._take("{")
        if self._is("}"):
            return found
        while True:
            key = self._key()
            self._take(":")
            found[key] = self._value(n_left - 1)
            if self._is("}"):
                return found
            self._take(",")

    def end(self) -> None:
        """Nothing may follow."""
        self._skip()
        if self._at < len(self._text):
            raise self._expected("the call's end")

    def _value(self, n_left: int) -> Any:
        self._skip()
        if not n_left:
            raise self._expected(f"at most {_MAX_DEPTH} values within each other")
        if self._text.startswith(QUOTE, self._at):
            return self._quoted()
        if self._text.startswith("{", self._at):
            return self.object(n_left)
        if self._is("["):
            return self._list(n_left)
        plain = _PLAIN.match(self._text, self._at)
        if plain is None:
            raise self._expected("a value")
        try:
            value = STRICT.decode(_AS_PYTHON.get(plain[0], plain[0]))
        except ValueError:
            raise self._expected("a value") from None
        self._at = plain.end()
        return value

    def _list(self, n_left: int) -> list[Any]:
        found: list[Any] = []
        if self._is("]"):
            return found
        while True:
            found.append(self._value(n_left - 1))
            if self._is("]"):
                return found
            self._take(",")

    def _quoted(self) -> str:
        begin = self._at + len(QUOTE)
        end = self._text.find(QUOTE, begin)
        if end < 0:
            raise self._expected(f"a text that ends with {QUOTE}")
        self._at = end + len(QUOTE)
        return self._text[begin:end]

    def _key(self) -> str:
        self._skip()
        if self._text.startswith(QUOTE, self._at):
            return self._quoted()
        key = _KEY.match(self._text, self._at)
        if key is None:
            raise self._expected("a key")
        self._at = key.end()
        return key[0]

    def _skip(self) -> None:
        blanks = _BLANKS.match(self._text, self._at)
        assert blanks is not None  # it matches nothing too
        self._at = blanks.end()

    def _is(self, mark: str) -> bool:
        """Whether a mark comes next, which then is behind."""
        self._skip()
        found = self._text.startswith(mark, self._at)
        self._at += len(mark) * found
        return found

    def _take(self, mark: str) -> None:
        if not self._is(mark):
            raise self._expected(mark)

    def _expected(self, what: str) -> MalformedCall:
        return MalformedCall(f"expected {what}, got {self._text[self._at :]!r:.80}")


class _Rules:
    """Makes the rules of calls, as Lark."""

    def __init__(self, spell: Spell) -> None:
        self._spell, self._quote = spell, spell(QUOTE)

    def of(self, functions: Functions, end: str) -> Iterator[str]:
        """Those of calls of these functions."""
        names = " | ".join(f"c{i}" for i in range(len(functions)))
        yield f'start: "call:" ({names}) {self._spell(end)}\n'
        for i, (name, function) in enumerate(functions.items()):
            yield f'c{i}: {quoted(name)} "{{" a{i} "}}"\n'
            yield from self._arguments(f"a{i}", Parameters(function["parameters"]), _MAX_NAMED)
        # Where the quote is a token of its own a text cannot hold it.
        body = (
            "/(?s:.*)/" if self._quote.startswith("<[") else r'/(?s:.*)/ & ~/(?s:.*)<\|"\|>(?s:.*)/'
        )
        yield _ANY.format(quote=self._quote, body=body)

    def _arguments(self, rule: str, parameters: Parameters, n_left: int) -> Iterator[str]:
        """Keys in their order: all that are required; a comma stands before all but the first."""
        names = sorted(parameters.known)
        more = '("," pair)*' if parameters.has_others else '""'
        first = '(pair ("," pair)*)?' if parameters.has_others else '""'
        yield f"{rule}: {rule}_f0\n"
        for j, name in enumerate(names):
            value = f'{quoted(name)} ":" {rule}_v{j}'
            skip = name not in parameters.required
            behind = f"{value} {rule}_n{j + 1}"
            yield f"{rule}_f{j}: {behind}{f' | {rule}_f{j + 1}' if skip else ''}\n"
            yield f'{rule}_n{j}: "," {behind}{f" | {rule}_n{j + 1}" if skip else ""}\n'
            yield from self._value(f"{rule}_v{j}", name, parameters, n_left)
        yield f"{rule}_f{len(names)}: {first}\n{rule}_n{len(names)}: {more}\n"

    def _value(self, rule: str, name: str, parameters: Parameters, n_left: int) -> Iterator[str]:
        kinds, texts, schema = (
            parameters.kinds(name),
            parameters.texts(name),
            parameters.known[name],
        )
        fields, items = (
            schema.get(key) if isinstance(schema, Mapping) else None
            for key in ("properties", "items")
        )
        if texts:
            ways = " | ".join(map(quoted, texts))
            yield f"{rule}: {self._quote} ({ways}) {self._quote}\n"
        elif kinds and kinds <= _AS_JSON:
            style = {**parameters.schema(name), "x-guidance": JSON_STYLE}
            yield f"{rule}: %json {json.dumps(style)}\n"
        elif kinds == {"object"} and fields and n_left:
            yield f'{rule}: "{{" {rule}_o "}}"\n'
            yield from self._arguments(f"{rule}_o", Parameters(schema), n_left - 1)
        elif kinds == {"array"} and isinstance(items, Mapping) and n_left:
            yield f"{rule}: {_list_of(f'{rule}_i', schema)}\n"
            inner = Parameters({**parameters.definitions, "properties": {"item": items}})
            yield from self._value(f"{rule}_i", "item", inner, n_left - 1)
        else:
            if kinds == {TEXT}:
                say_unfollowed(name, *(key for key in UNFOLLOWED if key in schema))
            known = [_RULES[kind] for kind in sorted(kinds) if kind in _RULES]
            yield f"{rule}: {' | '.join(known) if known else 'any'}\n"


def _list_of(rule: str, schema: Mapping[str, Any]) -> str:
    """As many as an array's schema says, within limits."""
    least, most = schema.get("minItems", 0), schema.get("maxItems", _MOST_ITEMS)
    least, most = (n if type(n) is int and n >= 0 else 0 for n in (least, most))
    if most == 0:
        return '"[]"'
    more = f'("," {rule}){{{max(least - 1, 0)},{min(most, _MOST_ITEMS) - 1}}}'
    return f'"[" {rule} {more} "]"' if least else f'"[" ({rule} {more})? "]"'
