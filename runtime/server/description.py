"""`GET /openapi.json`: every route with the schema of its body, as OpenAPI 3.1 describes them.

Source: https://spec.openapis.org/oas/v3.1.0.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pydantic.json_schema import models_json_schema

import halfbyte
from halfbyte.server.exchange import Exchange
from halfbyte.server.fault import STATUS
from halfbyte.server.fields import Fields
from halfbyte.server.protocol import Protocol, Route
from halfbyte.server.reply import Json, Reply

_PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")  # as Starlette writes them
_REFS = "#/components/schemas/{model}"
_JSON = "application/json"


def description_route(routes: Sequence[tuple[Protocol, Route]]) -> Route:
    """The route to the description of routes."""
    made = Json(describe(routes))

    async def told(exchange: Exchange, asked: None) -> Reply:
        return made

    return Route("GET", "/openapi.json", told, is_open=True)


def describe(routes: Sequence[tuple[Protocol, Route]]) -> dict[str, Any]:
    """The description as a JSON value."""
    kinds = dict.fromkeys(route.fields for _, route in routes if route.fields is not None)
    schemas, shared = models_json_schema([(kind, "validation") for kind in kinds],
                                         ref_template=_REFS)  # fmt: skip
    paths: dict[str, dict[str, Any]] = {}
    for protocol, route in routes:
        body = None if route.fields is None else schemas[route.fields, "validation"]
        path = paths.setdefault(_PARAMETER.sub(r"{\1}", route.path), {})
        path.setdefault(route.method.lower(), _operation(protocol, route, body))
    return {
        "openapi": "3.1.0",
        "info": {"title": "halfbyte", "version": halfbyte.__version__},
        "paths": paths,
        "components": {
            "schemas": shared.get("$defs", {}),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }  # fmt: skip


def _operation(protocol: Protocol, route: Route, body: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "tags": [protocol.name],
        "summary": _first_line(route.fields),
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in _PARAMETER.findall(route.path)
        ],
        "responses": {
            "200": {"description": "the answer"},
            **{str(status): {"description": "an error"} for status in sorted({*STATUS.values()})},
        },
    }
    if body is not None:
        made["requestBody"] = {"required": True, "content": {_JSON: {"schema": body}}}
    if not route.is_open:
        made["security"] = [{}, {"key": []}]
    return made


def _first_line(fields: type[Fields] | None) -> str:
    return "" if fields is None else (fields.__doc__ or "").strip().partition("\n")[0]
