"""Which schemas are taken, and as what they are read."""

from __future__ import annotations

import json
from enum import Enum
from itertools import pairwise
from typing import Any

import numpy as np
import pydantic
import pytest

from halfbyte.constraints import json_schema
from halfbyte.errors import RequestError


class Kind(Enum):
    cat, dog = "cat", "dog"


class Animal(pydantic.BaseModel):
    name: str
    kind: Kind
    friends: list[Animal] = []


def test_a_mapping_a_text_and_a_class_are_one() -> None:
    schema = Animal.model_json_schema()
    assert json.loads(json_schema.source_of(Animal)) == schema
    assert json_schema.source_of(schema) == json_schema.source_of(json.dumps(schema))
    kept = list(json.loads(json_schema.source_of({"properties": {"b": {}, "a": {}}}))["properties"])
    assert kept == ["b", "a"]  # answers have them in this order


NODE = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}
LOOP = {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}


@pytest.mark.parametrize(
    "schema",
    [
        {"$defs": {"node": NODE}, "$ref": "#/$defs/node"},  # it need not go on
        {"type": "array", "items": {"$ref": "#"}},
        {"anyOf": [LOOP, {"type": "null"}]},
        {"properties": {"a": {"$ref": "#"}}, "required": ["a"]},  # a number meets it too
        {"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}, {"type": "null"}]},
                   "b": {"type": "array", "prefixItems": [{"$ref": "#/$defs/a"}], "minItems": 1}},
         "$ref": "#/$defs/b"},
        {"const": {"anything": ["at", "all"]}, "x-mine": 1},
    ],
)  # fmt: skip
def test_schemas_that_can_be_met(schema: dict[str, Any]) -> None:
    json_schema.source_of(schema)


@pytest.mark.parametrize(
    "schema",
    [
        LOOP,
        {"$ref": "#"},
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
        {"type": "array", "items": {"$ref": "#"}, "minItems": 1},
        {"type": "array", "prefixItems": [{}, {"$ref": "#"}], "minItems": 2},
        {"allOf": [LOOP, {"type": "object"}]},
        {"type": "object", "additionalProperties": {"$ref": "#"}, "required": ["b"]},
        {"properties": {"c": {"anyOf": [{"$ref": "#/properties/c"}]}}, "required": ["c"],
         "type": "object"},
    ],
)  # fmt: skip
def test_what_only_an_endless_value_meets_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match="json_schema: expected a schema that a finite value"):
        json_schema.source_of(schema)


def test_what_many_references_name_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """They may name one place in many ways, such as by other scripts' digits."""
    looked = list[int]()
    is_finite = json_schema._Finite._is_finite

    def noted(self: Any, schema: dict[str, Any]) -> bool:
        looked.append(id(schema))
        return is_finite(self, schema)

    monkeypatch.setattr(json_schema._Finite, "_is_finite", noted)
    zeros = [c for c in map(chr, range(0x3000)) if c.isdecimal() and int(c) == 0]
    refs = [{"$ref": f"#/allOf/{a}{b}"} for a in zeros for b in zeros]
    json_schema.check({"allOf": [{"allOf": [{"type": "string"}] * 9}, *refs]})
    assert len(refs) > 400 and len(looked) < 1.1 * len(refs)


def test_long_chains_of_references_take_no_time() -> None:
    order = np.random.default_rng(0).permutation(2000).tolist()
    defs: dict[str, Any] = {f"a{i}": {"$ref": f"#/$defs/a{j}"} for i, j in pairwise(order)}
    last, first = f"a{order[-1]}", f"#/$defs/a{order[0]}"
    json_schema.check({"$defs": defs | {last: {"type": "null"}}, "$ref": first})


def deep(n: int) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for _ in range(n):
        made = {"items": made}
    return made


class Broken:
    @staticmethod
    def model_json_schema() -> dict[str, Any]:
        raise ZeroDivisionError("no schema")


CIRCLE: dict[str, Any] = {}
CIRCLE["items"] = CIRCLE


def many(key: str, n: int) -> dict[str, Any]:
    return {"items": {"type": "object", key: {f"a{i}": {} for i in range(n)}}}


def test_as_many_properties_as_there_may_be() -> None:
    for key, n in json_schema.MAX_OF_AN_OBJECT.items():
        json_schema.source_of({"$defs": {"a": many(key, n), "b": many(key, n)}})


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"reqired": ["a"]}, "expected a keyword of JSON Schema, got #/reqired; did you mean req"),
        ({"items": {"nullable": True}}, "got #/items/nullable; names of your own begin with x-"),
        ({"x-guidance": {"lenient": True}}, "expected a keyword of JSON Schema, got #/x-guidance"),
        ({"properties": {"a": 3}}, "expected a schema, got 3 at #/properties/a"),
        ({"items": {"type": {"a": 1}}}, "expected the name of a type, or a list of such, got {"),
        ({"type": ["null", []]}, "at #/type"),
        ({"type": []}, "expected the name of a type, or a list of such, got [] at #/type"),
        ({"$ref": "http://example.com/a"}, "got 'http://example.com/a' at #/$ref; nothing is fe"),
        ({"anyOf": [{"$ref": "other.json#/a"}]}, "at #/anyOf/0/$ref; nothing is fetched"),
        (deep(101), "expected schemas at most 100 deep"),
        (many("properties", 1001), "at most 1,000 properties of an object, got 1001 at #/items/pr"),
        (many("patternProperties", 101), "at most 100 patternProperties of an object, got 101 at"),
        (deep(3000), "json_schema: expected "),
        ("[" * 100_000, "json_schema: expected JSON"),
        ("{", "json_schema: expected JSON"),
        ("3", "expected a schema as a mapping, a text or a pydantic class"),
        (True, "expected a schema as a mapping, a text or a pydantic class"),
        ({"const": {1, 2}}, "expected what JSON can say"),
        ({"const": float("nan")}, "expected what JSON can say"),
        (CIRCLE, "expected what JSON can say"),
        (Broken, "expected a class that has a schema, got ZeroDivisionError('no schema')"),
    ],
)
def test_what_cannot_be_followed_is_named(schema: Any, text: str) -> None:
    with pytest.raises(RequestError) as caught:
        json_schema.source_of(schema)
    assert caught.value.param == "json_schema" and text in str(caught.value)
