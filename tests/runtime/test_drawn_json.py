"""Drawn answers to schemas of many kinds: complete ones are valid, cut ones say so.

`make test-constraints` draws 1,000 (N_RUNS); the rest of the tests a sample.
"""

from __future__ import annotations

import json
import os
from typing import Any

import jsonschema
import pytest

import halfbyte

N_RUNS = int(os.environ.get("N_RUNS", "100"))
NODE = {"type": "object", "properties": {"v": {"type": "integer"}, "next": {"$ref": "#/$defs/n"}},
        "required": ["v"], "additionalProperties": False}  # fmt: skip


def of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties),
            "additionalProperties": False}  # fmt: skip


SHORT = {"type": "string", "maxLength": 8}
SCHEMAS: dict[str, dict[str, Any]] = {
    "integer": {"type": "integer", "minimum": -5, "maximum": 1000},
    "number": {"type": "number", "exclusiveMinimum": 0, "maximum": 2.5},
    "multiple": {"type": "integer", "multipleOf": 7, "minimum": 0, "maximum": 10_000},
    "string": {"type": "string", "minLength": 3, "maxLength": 12},
    "pattern": {"type": "string", "pattern": "^[A-Z][a-z]{2,5}(-[0-9]{2})?$"},
    "date": {"type": "string", "format": "date"},
    "uuid": {"type": "string", "format": "uuid"},
    "enum": {"enum": ["red", 3, None, {"a": [True]}, "grün \"x\""]},
    "const": {"const": {"kind": "fixed", "n": [1, 2]}},
    "list": {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 5},
    "tuple": {"type": "array", "prefixItems": [SHORT, {"type": "integer"}], "items": False,
              "minItems": 2},
    "object": of(name=SHORT, age={"type": "integer", "minimum": 0, "maximum": 150}),
    "optional": {**of(a=SHORT, b={"type": "null"}, c={"type": "boolean"}), "required": ["b"]},
    "nested": of(person=of(name=SHORT, tags={"type": "array", "items": SHORT, "maxItems": 2})),
    "any": {"anyOf": [{"type": "integer", "maximum": 99, "minimum": 0}, of(x={"type": "null"})]},
    "one": {"oneOf": [of(kind={"const": "cat"}, lives={"type": "integer"}),
                      of(kind={"const": "dog"}, name=SHORT)]},
    "all": {"allOf": [{"type": "integer", "minimum": 3}, {"maximum": 400}]},
    "recursive": {"$defs": {"n": NODE}, "$ref": "#/$defs/n"},
    "named": {"type": "object", "patternProperties": {"^x[0-9]$": {"type": "integer"}},
              "additionalProperties": False, "minProperties": 1, "maxProperties": 3},
    "anything": {"type": ["object", "array", "string", "number", "boolean", "null"]},
}  # fmt: skip
PROMPTS = ("value = ", "# The answer as JSON:\n", 'json.loads("""')


def check(done: Any, schema: dict[str, Any], max_tokens: int) -> None:
    if done.is_complete:
        checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
        jsonschema.Draft202012Validator(schema, format_checker=checker).validate(
            # RFC 3339 has a year 0, Python's dates have none.
            json.loads(done.text.replace('"0000-', '"2000-'))
        )
    else:
        assert done.finish_reason == "length"
        assert len(done.tokens) >= max_tokens


@pytest.mark.parametrize("name", SCHEMAS)
def test_whole_answers_are_valid_and_cut_ones_say_so(
    infill_model: halfbyte.Model, name: str
) -> None:
    schema, n = SCHEMAS[name], N_RUNS // len(SCHEMAS)
    for max_tokens in (12, 96):
        n_now = n // 5 if max_tokens == 12 else n - n // 5
        prompts = [PROMPTS[i % len(PROMPTS)] for i in range(n_now)]
        how: dict[str, Any] = {"seed": 1000 * max_tokens, "json_whitespace": max_tokens == 12}
        for temperature in (0.7, 1.3):
            some = prompts[: (n_now + 1) // 2] if temperature < 1 else prompts[(n_now + 1) // 2 :]
            if some:
                for done in infill_model.complete(
                    some, json_schema=schema, max_tokens=max_tokens, temperature=temperature, **how
                ):
                    check(done, schema, max_tokens)
