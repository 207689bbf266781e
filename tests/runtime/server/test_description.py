"""The description of the routes, and requests that are made from it and spoiled."""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

N_SPOILED = int(os.environ.get("N_SPOILED", "60"))
# What fits nearly no field, or what no field should take.
ODD: list[Any] = [
    None, True, -1, 0, 2**63, 10**40, -0.5, 1e308, "", "\x00", "a" * 100, [], [[]], {}, {"a": {}},
    [None], ["a", 1], [True], "\U0010ffff", "<|fim_prefix|>", -(2**70), [2**31], [-1],
]  # fmt: skip


@pytest.fixture(scope="module")
def described(url: str) -> dict[str, Any]:
    return httpx.get(f"{url}/openapi.json", trust_env=False).json()


def test_schemas_are_schemas(described: dict[str, Any]) -> None:
    for schema in described["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    assert described["paths"]["/v1/completions"]["post"]["requestBody"]


def test_every_reference_leads_somewhere(described: dict[str, Any]) -> None:
    names = re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(described))
    assert names and set(names) <= set(described["components"]["schemas"])


def bodies(described: dict[str, Any]) -> Iterator[tuple[str, str, list[str]]]:
    """Paths that take a body, and the names of its fields."""
    schemas = described["components"]["schemas"]
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            body = operation.get("requestBody")
            if body is not None and "{" not in path:
                name = body["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
                yield path, method, list(schemas[name].get("properties", {}))


def test_odd_values_are_no_fault_of_the_server(
    described: dict[str, Any], http: httpx.Client
) -> None:
    """Every field gets values that it may not take; whatever comes, it is no 500."""
    drawn = random.Random(1)
    routes = list(bodies(described))
    for _ in range(N_SPOILED):
        path, method, names = drawn.choice(routes)
        body = {"max_tokens": 1, "n_predict": 1, "prompt": "a", "options": {"num_predict": 1}}
        body |= {name: drawn.choice(ODD) for name in drawn.sample(names, min(2, len(names)))}
        answer = http.request(method, path, json=body)
        assert answer.status_code < 500 or answer.status_code == 501, (path, body, answer.text)


BODY = b'{"model": "infill-10m", "prompt": "def f(", "max_tokens": 1, "stop": ["a", "b"]}'


def spoiled(drawn: random.Random) -> bytes:
    """The body with bytes cut, put in, changed or said twice, so that it is no JSON object."""
    while True:
        at, kind = drawn.randrange(1, len(BODY)), drawn.randrange(4)
        junk = bytes(drawn.choices(b'{}[]",:\\\x00\xff\xed\xa0\x801e', k=drawn.randrange(1, 4)))
        made = {
            0: BODY[:at], 1: BODY[:at] + junk + BODY[at:],
            2: BODY[:at] + junk + BODY[at + len(junk) :], 3: BODY + BODY[:at],
        }[kind]  # fmt: skip
        try:
            value = json.loads(made)
        except (ValueError, RecursionError):
            return made
        assert isinstance(value, dict)


def test_bodies_that_are_no_json_are_refused(http: httpx.Client) -> None:
    """Each with a 4xx that says what is wrong."""
    drawn = random.Random(2)
    for path in ("/v1/completions", "/infill", "/api/generate", "/v1/chat/completions"):
        for _ in range(N_SPOILED // 4):
            body = spoiled(drawn)
            answer = http.post(path, content=body)
            assert 400 <= answer.status_code < 500, (path, body, answer.text)
            assert answer.json()["error"]
