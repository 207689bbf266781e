"""The grammar of calls, as llguidance's Lark has it: what each format's own is made of."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Literal

# As the templates' tojson writes it, with which models were trained. Agents' schemas say much that
# no grammar can follow ("uniqueItems", "propertyNames"): it is left to whoever runs the function.
_JSON = {
    "item_separator": ", ", "key_separator": ": ", "whitespace_flexible": False,
    "lenient": True, "coerce_one_of": True,
}  # fmt: skip

Number = Literal["any", "some", "one"]  # of calls in an answer
Spell = Callable[[str], str]  # a special token's text as Lark has it: by its id, or as a text


def quoted(text: str) -> str:
    """A text as Lark has it."""
    return json.dumps(text)


def arguments_rules(functions: Mapping[str, Mapping[str, Any]]) -> str:
    """Rules a0, a1, ...: the arguments of each function, as JSON that its schema allows.

    Arguments that the schema does not name are none, unless it says something else.
    """
    rules = []
    for i, function in enumerate(functions.values()):
        schema = dict(function["parameters"])
        schema.setdefault("type", "object")
        schema.setdefault("properties", {})
        schema.setdefault("additionalProperties", False)
        rules.append(f"a{i}: %json {json.dumps({**schema, 'x-guidance': _JSON})}\n")
    return "".join(rules)


def call_rules(functions: Mapping[str, Mapping[str, Any]], key: str) -> str:
    """A rule `call`: an object with a function's name and, called `key`, its arguments."""
    names = " | ".join(f"c{i}" for i in range(len(functions)))
    rules = [f"call: {names}\n"]
    for i, name in enumerate(functions):
        begin = f'{{"name": {json.dumps(name)}, "{key}": '
        rules.append(f'c{i}: {quoted(begin)} a{i} "}}"\n')
    return "".join(rules) + arguments_rules(functions)
