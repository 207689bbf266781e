"""Tools as callers describe them: what is taken, and which argument is blamed."""

from __future__ import annotations

from typing import Any

import pytest

from halfbyte.errors import RequestError
from halfbyte.prompt.tools.tools import Tools


def tool(name: Any = "weather", **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **more}}


CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CYCLE: dict[str, Any] = {"type": "object"}
CYCLE["properties"] = {"again": CYCLE}


def test_tools_are_taken_as_json() -> None:
    made = Tools.of([tool(description="d", parameters=CITY), tool("now")])
    assert made is not None and list(made.functions) == ["weather", "now"] and made.choice == "auto"
    assert made.functions["now"]["parameters"] == {"type": "object", "properties": {}}
    assert made.as_list[0] == tool(description="d", parameters=CITY)
    assert Tools.of(None) is None and Tools.of([], "none") is None


@pytest.mark.parametrize("choice", ["none", "required", "weather", tool()])
def test_choices(choice: Any) -> None:
    made = Tools.of([tool(parameters=CITY), tool("now")], choice)
    assert made is not None
    assert made.choice == (choice if isinstance(choice, str) else "weather")
    assert list(made.callable) == (["weather"] if made.choice == "weather" else ["weather", "now"])


@pytest.mark.parametrize(
    ("tools", "choice", "param"),
    [
        ("weather", None, "tools"),
        (5, None, "tools"),
        ([{}], None, "tools[0]"),
        ([tool(), "x"], None, "tools[1]"),
        ([{**tool(), "type": "retrieval"}], None, "tools[0].type"),
        ([tool(None)], None, "tools[0].function.name"),
        ([tool("a b")], None, "tools[0].function.name"),
        ([tool("x" * 129)], None, "tools[0].function.name"),
        ([tool("auto")], None, "tools[0].function.name"),
        ([tool(), tool()], None, "tools[1]"),
        ([tool(description=3)], None, "tools[0].function.description"),
        ([tool(parameters="x")], None, "tools[0].function.parameters"),
        ([tool(parameters={"type": "string"})], None, "tools[0].function.parameters.type"),
        ([tool(parameters={"type": "objekt"})], None, "tools[0].function.parameters.type"),
        ([tool(parameters={"properties": []})], None, "tools[0].function.parameters.properties"),
        ([tool(parameters={"properties": {"a": {"type": "int"}}})], None,
         "tools[0].function.parameters.properties.a.type"),
        ([tool(parameters={"anyOf": [{"enum": 3}]})], None,
         "tools[0].function.parameters.anyOf[0].enum"),
        ([tool(x=float("nan"))], None, "tools[0].function.x"),
        ([tool(x={1: 2})], None, "tools[0].function.x"),
        ([tool(x="a" * 2_000_000)], None, "tools[0].function"),
        ([tool()], "any", "tool_choice"),
        ([tool()], 3, "tool_choice"),
        ([tool()], {"function": {"name": "now"}}, "tool_choice"),
        (None, "required", "tool_choice"),
    ],
)  # fmt: skip
def test_what_is_no_tool_is_refused_by_name(tools: Any, choice: Any, param: str) -> None:
    with pytest.raises(RequestError) as caught:
        Tools.of(tools, choice)
    assert caught.value.param == param


def test_a_schema_that_holds_itself_is_refused() -> None:
    with pytest.raises(RequestError, match="cycle"):
        Tools.of([tool(parameters=CYCLE)])
