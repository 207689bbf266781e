"""What a way of calling functions consists of, and how the JSON of calls is read."""

from __future__ import annotations

import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from halfbyte.prompt.tools.call_grammar import Number, Spell

Arguments = Mapping[str, Any]
Functions = Mapping[str, Mapping[str, Any]]  # as Tools.callable has them
NO_FUNCTIONS: Functions = MappingProxyType({})


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is beyond the numbers of JSON's readers")
    return value


# A text of JSON, and the quote that ends it.
_TEXT = re.compile(r'"(?:[^"\\]|\\.)*("?)', re.DOTALL)
# What can be written as JSON again.
STRICT = json.JSONDecoder(parse_float=_finite, parse_constant=_finite)


class Call(NamedTuple):
    """A function's name and what it is called with."""

    name: str
    arguments: dict[str, Any]


class MalformedCall(ValueError):
    """A text that is no call in this format; says why."""


class CallFormat(ABC):
    """How a model writes that it calls functions.

    Attributes:
        name: for errors and documents.
        begins: texts of which each begins a call; special tokens count as their texts.
        end: the text that ends it; empty where only the answer's end does.
        texts: of its special tokens, besides these.
        key: what the arguments are called in its JSON.
        tells: a character with which a beginning without a mark is known for one.
        is_last: whether nothing follows the end of a call.
        ends_thoughts: whether a call may begin within a thought, which is then over.
    """

    name: str
    begins: tuple[str, ...]
    end: str = ""
    texts: tuple[str, ...] = ()
    key: str = "arguments"
    tells: str = ":"
    is_last: bool = False
    ends_thoughts: bool = False

    def begins_with(self, text: str) -> bool | None:
        """Whether an answer that begins like this is a call without a mark; None: not clear yet."""
        return False

    def is_open(self, text: str) -> bool:
        """Whether a call stops within a value here, so that an end which follows is part of it.

        Models that write code, or text about calls, write such ends. Here values are JSON.
        """
        return is_within(_TEXT, text)

    @abstractmethod
    def parse(self, text: str, functions: Functions = NO_FUNCTIONS) -> list[Call]:
        """The calls of a text between a beginning and its end, or of a whole answer.

        Args:
            text: without these marks.
            functions: those that may be called: where arguments are bare texts, their schemas say
                what these are.

        Raises:
            MalformedCall: there are none.
        """

    @abstractmethod
    def grammar(self, functions: Functions, spell: Spell, number: Number = "any") -> str:
        """What follows the first of `begins`, its end included, as Lark; see call_grammar.py.

        Args:
            functions: those that may be called.
            spell: gives a special token's text as Lark has it.
            number: of calls.
        """

    def free_grammar(self, functions: Functions, spell: Spell) -> str:
        """What a call without a mark is that `grammar` does not follow; empty: there is none."""
        return ""

    @abstractmethod
    def opening(self, name: str | None) -> str:
        """The beginning of an answer that calls this function, or one that it names next."""

    def written(self, calls: Sequence[Call]) -> list[str] | None:
        """Calls of an earlier answer, for templates that show a message's content alone.

        Marks, and what stands between them, in turns; None: its templates write calls themselves.
        """
        return None

    def told(self, functions: Functions) -> list[str]:
        """What a system message says of functions, for templates that have no place for them.

        Own words and the caller's, in turns; empty: their templates have one.
        """
        return []

    def retold(self, message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """A message with calls or with a result as its templates know such; here as it is."""
        return [message]


def is_within(texts: re.Pattern[str], text: str) -> bool:
    """Whether the last of the texts that a pattern finds has no end, which is its last group."""
    ends = [found[found.lastindex or 0] for found in texts.finditer(text)]
    return bool(ends) and not ends[-1]


def value_at(text: str, at: int) -> tuple[Any, int]:
    """The JSON value at a place, and where it ends.

    Raises:
        MalformedCall: there is none.
    """
    try:
        return STRICT.raw_decode(text, at)
    except (ValueError, RecursionError) as error:
        raise MalformedCall(f"no JSON: {error}") from error


def values_in(text: str) -> Iterator[Any]:
    """The JSON values in a text, one after another, between them blanks, commas or semicolons.

    Raises:
        MalformedCall: something else.
    """
    at = 0
    while True:
        while at < len(text) and text[at] in " \t\r\n,;":
            at += 1
        if at == len(text):
            return
        value, at = value_at(text, at)
        yield value


def call_of(value: Any, *keys: str) -> Call:
    """The call that a JSON object is; its arguments are called by one of the keys.

    Raises:
        MalformedCall: it is none.
    """
    if not isinstance(value, dict):
        raise MalformedCall(f"expected an object, got {value!r:.80}")
    if isinstance(value.get("function"), dict):
        value = value["function"]
    name = value.get("name")
    if not isinstance(name, str):
        raise MalformedCall(f"expected a function's name, got {name!r:.80}")
    arguments = next((value[key] for key in keys if key in value), None)
    if arguments is None:  # of a function without parameters
        arguments = {}
    return Call(name, arguments_of(arguments))


def named_call(name: str, text: str) -> Call:
    """A call of this name; the text has one object of arguments, or nothing.

    Raises:
        MalformedCall: it has something else.
    """
    values = list(values_in(text))
    if len(values) > 1:
        raise MalformedCall(f"expected one object of arguments, got {len(values)}")
    return Call(name, arguments_of(values[0] if values else {}))


def arguments_of(value: Any) -> dict[str, Any]:
    """A call's arguments: an object, or the JSON text of one."""
    if isinstance(value, str):
        found = list(values_in(value))
        value = found[0] if len(found) == 1 else {} if not found else found
    if not isinstance(value, dict):
        raise MalformedCall(f"expected arguments by name, got {value!r:.80}")
    return value


def whole_characters(arguments: dict[str, Any]) -> dict[str, Any]:
    """The same, with U+FFFD for halves of characters, which JSON can name and no text can hold."""
    text = json.dumps(arguments, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        halves = text.encode("utf-16-le", "surrogatepass")
        arguments = json.loads(halves.decode("utf-16-le", "replace"))
    return arguments
