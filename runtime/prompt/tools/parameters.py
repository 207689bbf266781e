"""A function's parameters, of which a format writes the arguments as bare texts.

`<parameter=days>3</parameter>` does not say whether 3 is a number or a text: the function's schema
does. Texts are written as they are, and everything else as JSON, or as Python writes it.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from typing import Any

from halfbyte.prompt.tools.call_format import STRICT, MalformedCall

TEXT = "string"
_KINDS: Mapping[type, frozenset[str]] = {
    str: frozenset({TEXT}),
    bool: frozenset({"boolean"}),
    int: frozenset({"integer", "number"}),
    float: frozenset({"number"}),
    list: frozenset({"array"}),
    dict: frozenset({"object"}),
    type(None): frozenset({"null"}),
}
_DEFINITIONS = ("$defs", "definitions")
_MAX_DEPTH = 32  # of references and alternatives
_MAX_LITERAL = 1 << 20  # characters of a value as Python writes it
_NOTHING = object()


class Parameters:
    """What a schema says of them.

    Attributes:
        known: name -> schema.
        required: those that have to be given.
        has_others: whether there may be more.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._root = schema
        self.known: Mapping[str, Any] = schema.get("properties") or {}
        self.required = [name for name in schema.get("required") or () if name in self.known]
        self.has_others = bool(schema.get("additionalProperties"))

    def value(self, name: str, text: str) -> Any:
        """What an argument's text stands for.

        Raises:
            MalformedCall: nothing that it may be.
        """
        for value in self._listed(name):
            if text == _written(value):
                return value
        kinds = self.kinds(name)
        value = text if kinds == {TEXT} else _literal(text)
        if isinstance(value, float) and value.is_integer() and kinds and "number" not in kinds:
            value = int(value)  # JSON schema counts 3.0 as an integer
        is_other = value is not _NOTHING and not isinstance(value, str)
        if is_other and (not kinds or _KINDS[type(value)] & kinds):
            return value
        if kinds and TEXT not in kinds:
            expected = " or ".join(sorted(kinds))
            raise MalformedCall(f"{name}: expected {expected}, got {text!r:.80}")
        return text

    def texts(self, name: str) -> list[str]:
        """The only texts that an argument may be written as; none: there are other ones."""
        values = self._listed(name)
        return list(map(_written, values)) if TEXT in self.kinds(name) else []

    def _listed(self, name: str) -> list[Any]:
        """The only values that an argument may have; none: there are others."""
        schema, n_left = self.known.get(name), _MAX_DEPTH
        while isinstance(schema, Mapping) and isinstance(schema.get("$ref"), str) and n_left:
            schema, n_left = self._referred(schema["$ref"]), n_left - 1
        if not isinstance(schema, Mapping):
            return []
        values = schema.get("enum")
        return [schema["const"]] if "const" in schema else values if values else []

    def schema(self, name: str) -> dict[str, Any]:
        """An argument's schema, with the definitions that it may refer to."""
        return {**self.definitions, **self.known[name]}

    @property
    def definitions(self) -> dict[str, Any]:
        """What the schema's parts may refer to."""
        return {key: self._root[key] for key in _DEFINITIONS if key in self._root}

    def kinds(self, name: str) -> frozenset[str]:
        """JSON's names of what an argument may be; none: anything."""
        return self._kinds(self.known.get(name), _MAX_DEPTH)

    def _kinds(self, schema: Any, n_left: int) -> frozenset[str]:
        if not isinstance(schema, Mapping) or not n_left:
            return frozenset()
        if isinstance(schema.get("$ref"), str):
            return self._kinds(self._referred(schema["$ref"]), n_left - 1)
        if stated := schema.get("type"):
            return frozenset([stated] if isinstance(stated, str) else stated)
        if "const" in schema or "enum" in schema:
            values = [schema["const"]] if "const" in schema else schema["enum"]
            return frozenset[str]().union(*(_KINDS[type(value)] for value in values))
        for one in schema.get("allOf") or ():
            if kinds := self._kinds(one, n_left - 1):
                return kinds
        ways = schema.get("anyOf") or schema.get("oneOf") or ()
        found = [self._kinds(one, n_left - 1) for one in ways]
        return frozenset[str]().union(*found) if all(found) else frozenset()

    def _referred(self, reference: str) -> Any:
        at: Any = self._root
        for part in reference.removeprefix("#").strip("/").split("/"):
            at = at.get(part) if isinstance(at, Mapping) else None
        return at


def _written(value: Any) -> str:
    """A value as models write it."""
    return value if isinstance(value, str) else json.dumps(value)


def _literal(text: str) -> Any:
    """The value of a text that is JSON, or that Python writes; _NOTHING: it is neither."""
    try:
        return STRICT.decode(text)
    except (ValueError, RecursionError):
        pass
    try:
        value = ast.literal_eval(text.strip()) if len(text) <= _MAX_LITERAL else ...
        return json.loads(json.dumps(value, allow_nan=False))
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return _NOTHING
