"""The functions that a caller offers to a model, checked: JSON as OpenAI's interface has it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from halfbyte.call_arguments import check_flag
from halfbyte.errors import RequestError
from halfbyte.lazy_dataclass import dataclass

CHOICES = ("auto", "none", "required")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_SHAPE = '{"type": "function", "function": {"name": ..., "description": ..., "parameters": ...}}'
_TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")
_MAX_DEPTH, _MAX_NBYTES = 32, 1 << 20


@dataclass(frozen=True, slots=True)
class Tools:
    """Functions that an answer may call.

    Attributes:
        functions: each with `name`, `parameters` (a JSON schema of an object) and what else the
            caller said, by name.
        choice: whether to call: "auto", "none", "required", or the name of the function to call.
        are_parallel: whether an answer may call more than once.
    """

    functions: Mapping[str, Mapping[str, Any]]
    choice: str = "auto"
    are_parallel: bool = True

    @classmethod
    def of(cls, tools: object, choice: object = None, parallel: object = True) -> Tools | None:
        """What a caller gave; None where there are no tools.

        Raises:
            RequestError: something else than a list of functions; `param` says which.
        """
        are_parallel = check_flag("parallel_tool_calls", parallel)
        if tools is None or (isinstance(tools, Sequence) and not tools):
            if choice not in (None, "auto", "none"):
                raise RequestError("tool_choice", expected="tools to choose from", got=repr(choice))
            return None
        if not isinstance(tools, Sequence) or isinstance(tools, (str, bytes)):
            raise RequestError("tools", expected=f"a list of {_SHAPE}", got=tools)
        functions: dict[str, Mapping[str, Any]] = {}
        for i, tool in enumerate(tools):
            function = _function(tool, f"tools[{i}]")
            if function["name"] in functions:
                raise RequestError(f"tools[{i}]", expected="other names", got=function["name"])
            functions[function["name"]] = function
        return cls(functions, _choice(choice, functions), are_parallel)

    @property
    def as_list(self) -> list[dict[str, Any]]:
        """As templates take them."""
        return [{"type": "function", "function": dict(f)} for f in self.functions.values()]

    @property
    def callable(self) -> Mapping[str, Mapping[str, Any]]:
        """Those that the choice leaves."""
        if self.choice in CHOICES:
            return self.functions
        return {self.choice: self.functions[self.choice]}


def _choice(choice: object, functions: Mapping[str, object]) -> str:
    named = choice
    if isinstance(choice, Mapping):  # OpenAI's {"type": "function", "function": {"name": ...}}
        function = choice.get("function")
        named = function.get("name") if isinstance(function, Mapping) else None
    if named is None and choice is None:
        return "auto"
    if isinstance(named, str) and (named in CHOICES or named in functions):
        return named
    expected = f"one of {', '.join((*CHOICES, *functions))}"
    raise RequestError("tool_choice", expected=expected, got=repr(choice))


def _function(tool: object, where: str) -> dict[str, Any]:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    if not isinstance(tool, Mapping) or not isinstance(function, Mapping):
        raise RequestError(where, expected=_SHAPE, got=tool)
    if tool.get("type", "function") != "function":
        raise RequestError(f"{where}.type", expected="function", got=tool["type"])
    where = f"{where}.function"
    name, description = function.get("name"), function.get("description", "")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        expected = "up to 128 letters, digits, _, . and -"
        raise RequestError(f"{where}.name", expected=expected, got=repr(name))
    if name in CHOICES:
        raise RequestError(f"{where}.name", expected=f"none of {', '.join(CHOICES)}", got=name)
    if not isinstance(description, str):
        raise RequestError(f"{where}.description", expected="a text", got=description)
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    plain: dict[str, Any] = _plain({**function, "parameters": parameters}, where)
    _check_schema(plain["parameters"], f"{where}.parameters")
    if plain["parameters"].get("type", "object") != "object":
        got = repr(plain["parameters"]["type"])
        raise RequestError(f"{where}.parameters.type", expected="object", got=got)
    return plain


def _plain(function: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A copy in plain types, as JSON would have it."""
    copied = _copied(function, where)
    try:
        text = json.dumps(copied, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise RequestError(where, expected="JSON", got=str(error)) from error
    if len(text) > _MAX_NBYTES:
        raise RequestError(where, expected=f"at most {_MAX_NBYTES} characters", got=len(text))
    plain: dict[str, Any] = json.loads(text)
    return plain


def _copied(value: Any, where: str, depth: int = 0) -> Any:
    if depth > _MAX_DEPTH:
        raise RequestError(where, expected=f"at most {_MAX_DEPTH} levels", got="more, or a cycle")
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise RequestError(where, expected="texts as keys", got=list(value))
        return {key: _copied(item, f"{where}.{key}", depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_copied(item, f"{where}[{i}]", depth + 1) for i, item in enumerate(value)]
    is_number = isinstance(value, (int, float)) and math.isfinite(value)
    if value is None or isinstance(value, (str, bool)) or is_number:
        return value
    raise RequestError(where, expected="JSON", got=repr(value))


def _check_schema(schema: Any, where: str) -> None:
    """Refuse what is no JSON schema, as far as its shape tells."""
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict):
        raise RequestError(where, expected="a JSON schema, a mapping", got=schema)
    types = schema.get("type", [])
    for kind in types if isinstance(types, list) else [types]:
        if kind not in _TYPES:
            expected = f"one of {', '.join(_TYPES)}"
            raise RequestError(f"{where}.type", expected=expected, got=kind)
    for key, kind, what in (
        ("properties", dict, "a mapping"), ("$defs", dict, "a mapping"),
        ("definitions", dict, "a mapping"), ("required", list, "a list"), ("enum", list, "a list"),
        ("anyOf", list, "a list"), ("oneOf", list, "a list"), ("allOf", list, "a list"),
    ):  # fmt: skip
        if key in schema and not isinstance(schema[key], kind):
            raise RequestError(f"{where}.{key}", expected=what, got=schema[key])
    for key in ("properties", "$defs", "definitions"):
        for name, part in schema.get(key, {}).items():
            _check_schema(part, f"{where}.{key}.{name}")
    if "items" in schema and not isinstance(schema["items"], list):
        _check_schema(schema["items"], f"{where}.items")
    for key in ("anyOf", "oneOf", "allOf"):
        for i, part in enumerate(schema.get(key, [])):
            _check_schema(part, f"{where}.{key}[{i}]")
