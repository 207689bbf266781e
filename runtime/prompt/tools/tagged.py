"""Calls whose arguments stand between tags, as bare texts: what such formats have in common."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from functools import cached_property, lru_cache
from typing import Any

from halfbyte.prompt.tools.call_format import (
    NO_FUNCTIONS,
    Call,
    CallFormat,
    Functions,
    MalformedCall,
)
from halfbyte.prompt.tools.call_grammar import JSON_STYLE, Number, Spell, quoted
from halfbyte.prompt.tools.parameters import TEXT, Parameters

log = logging.getLogger(__name__)

_LINE = '"\\n"?'
_MOST_IN_ANY_ORDER = 5  # required arguments: each choice of them has a rule
# What templates write of a value, and models after them, that is no JSON.
_AS_PYTHON = {"boolean": '"True" | "False"', "null": '"None"'}
UNFOLLOWED = ("pattern", "format", "minLength", "maxLength")


class Tagged(CallFormat):
    """A format of tags.

    Models give arguments in an order of their own, so that any order may be written.

    Attributes:
        head: what stands before a function's name; where a call is read, it may be missing.
        head_end: behind it.
        key: before an argument's name.
        key_end: between its name and its value, tag by tag.
        value_end: behind its value.
        tail: behind all arguments.
        has_lines: whether a value has lines of its own.
        has_several: whether calls follow one another before the end.
    """

    head = ""
    head_end = ""
    key: str
    key_end: tuple[str, ...] = ()
    value_end: str
    tail = ""
    has_lines = False
    has_several = False

    def parse(self, text: str, functions: Functions = NO_FUNCTIONS) -> list[Call]:
        """The one call between the tags, or all of them."""
        calls, at = list[Call](), 0
        while not calls or at < len(text):
            head = self._head.match(text, at)
            if head is None:
                raise MalformedCall(f"expected a function's name, got {text[at:]!r:.80}")
            name, at, arguments = head[1], head.end(), dict[str, Any]()
            parameters = Parameters(functions.get(name, {}).get("parameters", {}))
            while found := self._argument.match(text, at):
                key, value = self.argument(found, parameters)
                arguments[key], at = value, found.end()
            tail = (self._tail.match if self.has_several else self._tail.fullmatch)(text, at)
            if tail is None or (tail.end() == at < len(text)):
                raise MalformedCall(f"expected {self.key}, got {text[at:]!r:.80}")
            calls.append(Call(name, arguments))
            at = tail.end()
        return calls

    def is_open(self, text: str) -> bool:
        """Whether the last argument has no end."""
        return text.rfind(self.key) > text.rfind(self.value_end)

    def key_ends(self, *, is_text: bool) -> tuple[str, ...]:
        """What stands between an argument's name and its value, a text or JSON."""
        return self.key_end

    def argument(self, found: re.Match[str], parameters: Parameters) -> tuple[str, Any]:
        """An argument's name and its value, where the two were found."""
        name, text = found[1].strip(), found[2]
        if self.has_lines:
            text = text.removeprefix("\n").removesuffix("\n")
        return name, parameters.value(name, text)

    def grammar(self, functions: Functions, spell: Spell, number: Number = "any") -> str:
        """A call and its end."""
        is_one = number in ("one", "optional") or not self.has_several
        return "".join(_Rules(self, spell).of(functions, "" if is_one else "+"))

    @cached_property
    def _head(self) -> re.Pattern[str]:
        head = f"(?:{re.escape(self.head)})?" if self.head else ""
        return re.compile(rf"\s*{head}\s*([^\s<>]+)\s*{re.escape(self.head_end)}\s*")

    @cached_property
    def _argument(self) -> re.Pattern[str]:
        key, end = re.escape(self.key), re.escape(self.value_end)
        between = r"\s*".join(map(re.escape, self.key_end))
        return re.compile(rf"{key}([^<>]+?){between}(.*?){end}\s*", re.DOTALL)

    @cached_property
    def _tail(self) -> re.Pattern[str]:
        return re.compile(rf"(?:{re.escape(self.tail)})?\s*")


class _Rules:
    """Makes the rules of a format, as Lark."""

    def __init__(self, form: Tagged, spell: Spell) -> None:
        self._form, self._spell = form, spell

    def of(self, functions: Functions, more: str) -> Iterator[str]:
        """Those of calls of these functions; `more` is "+" where several may come."""
        form = self._form
        head = f"{_LINE} {self._tag(form.head)}"
        if len(form.begins) > 1:  # one of which is the head
            head = f"({head})?"
        names = " | ".join(f"c{i}" for i in range(len(functions)))
        call = f"({head} ({names}) {self._tag(form.tail)}){more}"
        yield f"start: {call} {_LINE} {self._tag(form.end)}\n"
        for i, (name, function) in enumerate(functions.items()):
            parameters = Parameters(function["parameters"])
            yield f"c{i}: {quoted(name + form.head_end)} {_LINE} a{i}\n"
            yield from self._arguments(f"a{i}", parameters)
            for j, key in enumerate(parameters.known):
                yield from self._argument(f"a{i}_{j}", key, parameters)
        before = self._before_value("NAME", is_text=True)
        yield f'other: {before} text\nNAME: /[^<>"\\s]{{1,128}}/\n'
        yield from self._text()

    def _arguments(self, rule: str, parameters: Parameters) -> Iterator[str]:
        """All that are required, in any order, and others among them."""
        rules = {name: f"{rule}_{j}" for j, name in enumerate(parameters.known)}
        required = [rules.pop(name) for name in dict.fromkeys(parameters.required)]
        others = [*rules.values(), *(["other"] if parameters.has_others else [])]
        free = f"({' | '.join(others)})*" if others else '""'
        whole = (1 << len(required)) - 1
        left, seen = [whole], {whole}
        while left:
            mask = left.pop()
            ways = [j for j in range(len(required)) if mask >> j & 1]
            if len(required) > _MOST_IN_ANY_ORDER:
                ways = ways[:1]
            rests = [(required[j], mask & ~(1 << j)) for j in ways]
            more = " | ".join(f"{one} {rule}_left{rest}" for one, rest in rests)
            name = rule if mask == whole else f"{rule}_left{mask}"
            yield f"{name}: {free} ({more})\n" if more else f"{name}: {free}\n"
            new = {rest for _, rest in rests} - seen
            left, seen = [*left, *sorted(new)], seen | new

    def _argument(self, rule: str, name: str, parameters: Parameters) -> Iterator[str]:
        kinds, texts = parameters.kinds(name), parameters.texts(name)
        is_text = bool(texts) or not kinds or TEXT in kinds
        begin = self._before_value(quoted(name), is_text=is_text)
        if not texts and is_text:
            if kinds:
                say_unfollowed(name, *(key for key in UNFOLLOWED if key in parameters.known[name]))
            yield f"{rule}: {begin} text\n"
            return
        value = f"({' | '.join(map(quoted, texts))})" if texts else f"{rule}_json"
        for kind in sorted(kinds & _AS_PYTHON.keys()) if not texts else ():
            value = f"({value} | {_AS_PYTHON[kind]})"
        end, line = self._tag(self._form.value_end), _LINE if self._form.has_lines else ""
        yield f"{rule}: {begin} {line} {value} {line} {end} {_LINE}\n"
        if not texts:
            schema = {**parameters.schema(name), "x-guidance": JSON_STYLE}
            yield f"{rule}_json: %json {json.dumps(schema)}\n"

    def _before_value(self, name: str, *, is_text: bool) -> str:
        ends = f" {_LINE} ".join(map(self._tag, self._form.key_ends(is_text=is_text)))
        return f"{self._tag(self._form.key)} {name} {ends}"

    def _text(self) -> Iterator[str]:
        """Any text and the tag that ends it, which it does not hold."""
        tag, spelled = self._form.value_end, self._tag(self._form.value_end)
        at, mark = spelled.find("<["), _pattern(tag)
        body = f"(/(?s:.*)/ & ~/(?s:.*){mark}(?s:.*)/)"
        if at < 0:
            yield f"text: TEXT\nTEXT: {body} /\\n?{mark}\\n?/\n"
            return
        # A token of its own, or one within the tag.
        begun = _pattern(json.loads(spelled[:at] or '""'))
        yield f"text: TEXT {spelled[at:]} {_LINE}\nTEXT: {body}{f' /{begun}/' if begun else ''}\n"

    def _tag(self, text: str) -> str:
        """A tag, which may be a token, or a part of one, or hold one."""
        form = self._form
        is_whole = text == form.end or any(one in text for one in form.texts)
        return self._spell(text) if is_whole else quoted(text)


def _pattern(text: str) -> str:
    return "".join(one if one.isalnum() or one in "<>_｜" else f"\\{one}" for one in text)


@lru_cache(maxsize=256)
def say_unfollowed(name: str, *keys: str) -> None:
    """A word on what a schema says of a text and no grammar follows."""
    if keys:
        log.warning("tools: %s of %s is left to whoever runs the function", ", ".join(keys), name)
