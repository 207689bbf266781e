"""JSON schemas: read from what callers have, and refused where they mean what is not followed.

Unknown keywords would be ignored by the rules of JSON Schema, and a misspelled one with them: here
each is known, or the schema is refused by its name. What the grammar's compiler does not know of
those that are, it refuses itself.

Source of the names: JSON Schema, drafts 4 to 2020-12.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from halfbyte.call_arguments import literal
from halfbyte.constraints.written_out import check_length, length_of
from halfbyte.errors import RequestError

NAME = "json_schema"
MAX_DEPTH = 100
# What compiling takes grows with the square of an object's properties, and faster with patterns.
MAX_OF_AN_OBJECT = {"properties": 1000, "patternProperties": 100}

# Keywords by what stands in them.
_ONE = (
    "additionalProperties", "items", "additionalItems", "contains", "not", "if", "then", "else",
    "propertyNames", "unevaluatedItems", "unevaluatedProperties", "contentSchema",
)  # fmt: skip
_MANY = ("allOf", "anyOf", "oneOf", "prefixItems")
_NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_VALUES = (
    "type", "enum", "const", "multipleOf", "maximum", "exclusiveMaximum", "minimum",
    "exclusiveMinimum", "maxLength", "minLength", "pattern", "format", "maxItems", "minItems",
    "uniqueItems", "maxContains", "minContains", "maxProperties", "minProperties", "required",
    "dependentRequired", "dependencies", "$ref", "$anchor", "$dynamicRef", "$dynamicAnchor",
    "$recursiveRef", "$recursiveAnchor",
)  # fmt: skip
_NOTES = (  # they say nothing about which values are valid
    "$schema", "$id", "id", "$comment", "$vocabulary", "title", "description", "default",
    "examples", "example", "deprecated", "readOnly", "writeOnly", "contentMediaType",
    "contentEncoding", "discriminator",
)  # fmt: skip
_KNOWN = frozenset((*_ONE, *_MANY, *_NAMED, *_VALUES, *_NOTES))


def source_of(value: object) -> str:
    """A schema as JSON, its properties in their order.

    Args:
        value: a mapping, a text, or a class or instance that gives its own (pydantic's).

    Raises:
        RequestError: none of these, no JSON, or a schema with what cannot be followed.
    """
    schema = _read(value)
    text = dumped(NAME, schema)
    check(json.loads(text))
    return text


def dumped(name: str, value: object) -> str:
    """A value as JSON; RequestError where it is none."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise RequestError(name, expected="what JSON can say", got=str(error)) from error


def check(schema: Any) -> None:
    """Refuse a schema with unknown keywords, references to other files or no finite value."""
    for part, path in _schemas(schema, "#", 0):
        if not isinstance(part, (dict, bool)):
            raise _refused(path, "a schema", got=part)
        for key, inner in part.items() if isinstance(part, dict) else ():
            if key not in _KNOWN and not (key.startswith("x-") and key != "x-guidance"):
                near = difflib.get_close_matches(key, _KNOWN, n=1, cutoff=0.7)
                hint = f"did you mean {near[0]}?" if near else "names of your own begin with x-"
                raise _refused(f"{path}/{key}", "a keyword of JSON Schema", hint=hint)
            most = MAX_OF_AN_OBJECT.get(key)
            if most and isinstance(inner, dict) and len(inner) > most:
                what = f"at most {most:,} {key} of an object"
                raise _refused(f"{path}/{key}", what, got=len(inner))
            _check_texts(key, inner)
            if key == "type" and not _are_texts(inner):
                raise _refused(f"{path}/type", "the name of a type, or a list of such", got=inner)
            if key == "$ref" and not (isinstance(inner, str) and inner.startswith("#")):
                hint = "nothing is fetched: put it into $defs"
                raise _refused(f"{path}/$ref", "a reference within it", got=inner, hint=hint)
    if not _Finite(schema).holds:
        raise RequestError(
            NAME, expected="a schema that a finite value meets", got="one that contains itself",
            hint="let what refers to it be optional, or an array that may be empty",
        )  # fmt: skip


class _Finite:
    """Whether a finite value can meet a schema, as far as its references decide that.

    The least fixed point: a reference can end if its target does without those that cannot.
    """

    _N_SWEEPS = 32  # over all references; what is not settled then counts as able to end

    def __init__(self, schema: Any) -> None:
        self._root = schema
        parts = [part for part, _ in _schemas(schema, "#", 0) if isinstance(part, dict)]
        refs = [ref for part in parts if isinstance(ref := part.get("$ref"), str)]
        self._targets = {ref: self._target(ref) for ref in refs}
        named = {id(target): target for target in self._targets.values()}
        self._ending = set[int]()  # schemas that were found to end, by their ids: they stay so
        self._can_end = dict.fromkeys(named, False)
        for _ in range(self._N_SWEEPS):
            left = [i for i, can_end in self._can_end.items() if not can_end]
            for i in reversed(left):
                self._can_end[i] = self._ends(named[i])
            if not any(self._can_end[i] for i in left):
                break
        else:
            self._can_end = dict.fromkeys(named, True)
        self.holds = self._ends(schema)

    def _ends(self, schema: Any) -> bool:
        if not isinstance(schema, dict) or id(schema) in self._ending:
            return True
        found = self._is_finite(schema)
        if found:
            self._ending.add(id(schema))
        return found

    def _is_finite(self, schema: dict[str, Any]) -> bool:
        ref = schema.get("$ref")
        if isinstance(ref, str) and not self._can_end.get(id(self._targets.get(ref, True)), True):
            return False
        if not all(map(self._ends, _items(schema, "allOf"))):
            return False
        for key in ("anyOf", "oneOf"):
            if _items(schema, key) and not any(map(self._ends, _items(schema, key))):
                return False
        kinds = schema.get("type")
        kinds = kinds if isinstance(kinds, list) else [kinds]
        if "enum" in schema or "const" in schema or set(kinds) - {"object", "array"}:
            return True
        return any(self._object_ends(schema) if k == "object" else self._array_ends(schema)
                   for k in kinds)  # fmt: skip

    def _object_ends(self, schema: dict[str, Any]) -> bool:
        properties, rest = schema.get("properties"), schema.get("additionalProperties", True)
        known = properties if isinstance(properties, dict) else {}
        return all(self._ends(known.get(name, rest)) for name in _items(schema, "required")
                   if isinstance(name, str))  # fmt: skip

    def _array_ends(self, schema: dict[str, Any]) -> bool:
        least, first = schema.get("minItems", 0), _items(schema, "prefixItems")
        if not isinstance(least, (int, float)):
            return True
        rest = [schema.get("items", True)] if least > len(first) else []
        return all(map(self._ends, [*first[: int(least)], *rest]))

    def _target(self, ref: str) -> Any:
        """What a reference names; True, which ends, where it is no plain pointer."""
        found = self._root
        if ref != "#" and not ref.startswith("#/"):
            return True
        for part in ref[2:].split("/") if ref != "#" else ():
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and key.isdecimal() and int(key) < len(found):
                found = found[int(key)]
            elif isinstance(found, dict) and key in found:
                found = found[key]
            else:
                return True  # the compiler says that there is none
        return found


def _read(value: object) -> Any:
    give = getattr(value, "model_json_schema", None)  # pydantic's
    if callable(give):
        try:
            return give()
        except Exception as error:  # whatever a class of a caller raises
            raise RequestError(NAME, expected="a class that has a schema", got=error) from error
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise RequestError(NAME, expected="JSON", got=str(error)) from error
    if isinstance(value, Mapping):
        return dict(value)
    expected = "a schema as a mapping, a text or a pydantic class"
    raise RequestError(NAME, expected=expected, got=literal(value))


def _schemas(schema: Any, path: str, depth: int) -> Iterator[tuple[Any, str]]:
    """A schema and all within it, each with its place."""
    if depth > MAX_DEPTH:
        raise RequestError(NAME, expected=f"schemas at most {MAX_DEPTH} deep", got="deeper ones")
    yield schema, path
    if not isinstance(schema, dict):
        return
    for key, inner in schema.items():
        place = f"{path}/{key}"
        if key in _NAMED and isinstance(inner, dict):
            for name, part in inner.items():
                yield from _schemas(part, f"{place}/{name}", depth + 1)
        elif key in (*_MANY, "items") and isinstance(inner, list):
            for i, part in enumerate(inner):
                yield from _schemas(part, f"{place}/{i}", depth + 1)
        elif key in _ONE:
            yield from _schemas(inner, place, depth + 1)


def _items(schema: dict[str, Any], key: str) -> list[Any]:
    value = schema.get(key)
    return value if isinstance(value, list) else []


def _check_texts(key: str, value: object) -> None:
    """Refuse long texts that an answer may have to spell."""
    for pattern in _patterns(key, value):
        check_length(NAME, length_of(pattern), key)
    for one in _spelled(key, value):
        check_length(NAME, len(one if isinstance(one, str) else dumped(NAME, one)), key)


def _spelled(key: str, value: object) -> list[Any]:
    if key in ("properties", "enum") and isinstance(value, (dict, list)):
        return list(value)
    if key == "required" and isinstance(value, list):
        return value
    return [value] if key == "const" else []


def _patterns(key: str, value: object) -> list[str]:
    if key == "patternProperties" and isinstance(value, dict):
        return list(value)
    return [value] if key == "pattern" and isinstance(value, str) else []


def _are_texts(value: object) -> bool:
    names = value if isinstance(value, list) else [value]
    return bool(names) and all(isinstance(one, str) for one in names)


def _refused(path: str, expected: str, **facts: Any) -> RequestError:
    facts.setdefault("got", path)
    if facts["got"] is not path:
        facts["got"] = f"{facts['got']!r} at {path}"
    return RequestError(NAME, expected=expected, **facts)
