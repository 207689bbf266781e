"""The grammar of calls, as llguidance's Lark has it: what each format's own is made of."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

# Agents' schemas say much that no grammar can follow ("uniqueItems", "propertyNames"): it is left
# to whoever runs the function.
_LENIENT = {"lenient": True, "coerce_one_of": True}
# As the templates' tojson writes it, with which models were trained.
JSON_STYLE = {
    "item_separator": ", ", "key_separator": ": ", "whitespace_flexible": False, **_LENIENT,
}  # fmt: skip
FREE_JSON = {
    "whitespace_flexible": True, "whitespace_pattern": r"[ ]|\n[ \t]{0,32}", **_LENIENT,
}  # fmt: skip
_BLANKS = r"[ \t\r\n]{0,32}"
# An object in which the names of keys are as given, and the blanks are the model's.
_FREE = rf"""OPEN: /{_BLANKS}\{{{_BLANKS}/
CLOSE: /{_BLANKS}\}}/
COLON: /{_BLANKS}:{_BLANKS}/
COMMA: /{_BLANKS},{_BLANKS}/
start: OPEN type? call CLOSE | OPEN type? "\"function\"" COLON OPEN call CLOSE CLOSE
type: "\"type\"" COLON "\"function\"" COMMA
"""

Number = Literal["any", "some", "one", "optional"]  # of calls in an answer; the last: one or none
Spell = Callable[[str], str]  # a special token's text as Lark has it: by its id, or as a text


def quoted(text: str) -> str:
    """A text as Lark has it."""
    return json.dumps(text)


def arguments_rules(
    functions: Mapping[str, Mapping[str, Any]], style: Mapping[str, Any] = JSON_STYLE
) -> str:
    """Rules a0, a1, ...: the arguments of each function, as JSON that its schema allows.

    Arguments that the schema does not name are none, unless it says something else.
    """
    rules = []
    for i, function in enumerate(functions.values()):
        schema = dict(function["parameters"])
        schema.setdefault("type", "object")
        schema.setdefault("properties", {})
        schema.setdefault("additionalProperties", False)
        rules.append(f"a{i}: %json {json.dumps({**schema, 'x-guidance': style})}\n")
    return "".join(rules)


def call_rules(
    functions: Mapping[str, Mapping[str, Any]],
    key: str,
    after: str = "",
    *,
    name_key: str = "name",
    before: str = "",
) -> str:
    """A rule `call`: an object with a function's name and, called `key`, its arguments.

    `before` and `after` are Lark for what else it has.
    """
    names = " | ".join(f"c{i}" for i in range(len(functions)))
    rules = [f"call: {names}\n"]
    for i, name in enumerate(functions):
        called = f'"{name_key}": {json.dumps(name)}, "{key}": '
        rules.append(f'c{i}: "{{" {before} {quoted(called)} a{i} {after} "}}"\n')
    return "".join(rules) + arguments_rules(functions)


def named_rules(
    functions: Mapping[str, Mapping[str, Any]], between: str, style: Mapping[str, Any] = JSON_STYLE
) -> str:
    """A rule `call`: a function's name, `between`, as Lark has it, and the arguments."""
    rules = [f"call: {' | '.join(f'c{i}' for i in range(len(functions)))}\n"]
    rules += [f"c{i}: {quoted(name)} {between} a{i}\n" for i, name in enumerate(functions)]
    return "".join(rules) + arguments_rules(functions, style)


def free_call_rules(functions: Mapping[str, Mapping[str, Any]], keys: Sequence[str]) -> str:
    """A grammar of one call as an object, however a model may write that: with other blanks, said
    to be of the type "function", or within a key of that name; the arguments have one of the keys.
    """
    named = " | ".join(quoted(json.dumps(key)) for key in keys)
    rules = [f"call: {' | '.join(f'c{i}' for i in range(len(functions)))}\nkey: {named}\n"]
    for i, name in enumerate(functions):
        called = f'"\\"name\\"" COLON {quoted(json.dumps(name))}'
        rules.append(f"c{i}: {called} COMMA key COLON a{i}\n")
    return _FREE + "".join(rules) + arguments_rules(functions, FREE_JSON)
