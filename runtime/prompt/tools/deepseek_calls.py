"""DeepSeek's ways: calls between tokens of their own, V3's and R1's as a block of code.

Source: the chat templates of DeepSeek-V3-0324, R1-0528 and V3.1, which write calls and results, and
have no place for functions; V3.1's model card, "ToolCall", for what a system message says of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from halfbyte.prompt.tools.call_format import (
    NO_FUNCTIONS,
    Call,
    CallFormat,
    Functions,
    MalformedCall,
    named_call,
)
from halfbyte.prompt.tools.call_grammar import FREE_JSON, JSON_STYLE, Number, Spell, named_rules

_BEGIN, _END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
_CALL, _SEP, _CALL_END = "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"
_NAMED = re.compile(r"\s*([A-Za-z0-9_.-]{1,128})\s*")
_FENCED = re.compile(r"\s*([A-Za-z0-9_.-]{1,128})\s*\n```(?:json)?\s*\n(.*?)\s*```\s*", re.DOTALL)


class DeepSeek(CallFormat):
    """<｜tool▁call▁begin｜>name<｜tool▁sep｜>{...}<｜tool▁call▁end｜>, once for each call."""

    name = "deepseek"
    begins = (_BEGIN,)
    end = _END
    texts = (_CALL, _SEP, _CALL_END)
    is_last = True

    def parse(self, text: str, functions: Functions = NO_FUNCTIONS) -> list[Call]:
        """The calls between the tokens, in V3's way or in V3.1's."""
        before, *parts = text.split(_CALL)
        if before.strip() or not parts:
            raise MalformedCall(f"expected {_CALL}, got {text!r:.80}")
        return [_call(part) for part in parts]

    def grammar(self, functions: Functions, spell: Spell, number: Number = "any") -> str:
        """Calls and the end of them all."""
        call = f"{spell(_CALL)} call {spell(_CALL_END)}"
        more = "" if number in ("one", "optional") else f" ({call})*"
        rules = named_rules(functions, spell(_SEP), JSON_STYLE)
        return f"start: {call}{more} {spell(_END)}\n{rules}"

    def opening(self, name: str | None) -> str:
        """The marks and the function's name."""
        begin = _BEGIN + _CALL
        return begin if name is None else f"{begin}{name}{_SEP}"

    def told(self, functions: Functions) -> list[str]:
        """The model card's words."""
        parts = ["## Tools\nYou have access to the following tools:\n"]
        for name, function in functions.items():
            described, schema = function.get("description", ""), _json(function["parameters"])
            parts[-1] += f"\n### {name}\nDescription: "
            parts += [described, "\n\nParameters: ", schema, "\n"]
        return [*parts[:-1], parts[-1] + _RULES]

    def retold(self, message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """A message that only calls has no content: templates ask whether there is any."""
        if message.get("tool_calls") and not message["content"]:
            return [{**message, "content": None}]
        return [message]


class DeepSeekV3(DeepSeek):
    """The same with function<｜tool▁sep｜>name, and {...} as a block of code, for each call."""

    name = "deepseek-v3"

    def grammar(self, functions: Functions, spell: Spell, number: Number = "any") -> str:
        """Calls and the end of them all."""
        call = f'{spell(_CALL)} "function" {spell(_SEP)} call "\\n```" {spell(_CALL_END)}'
        more = "" if number in ("one", "optional") else f' ("\\n"? {call})*'
        rules = named_rules(functions, '"\\n```json\\n"', FREE_JSON)
        return f'start: "\\n"? {call}{more} "\\n"? {spell(_END)}\n{rules}'

    def opening(self, name: str | None) -> str:
        """The marks and the function's name."""
        begin = f"{_BEGIN}{_CALL}function{_SEP}"
        return begin if name is None else f"{begin}{name}\n```json\n"

    def told(self, functions: Functions) -> list[str]:
        """As V3's makers do it."""
        parts = ["## Tools\n\n### Function\n\nYou have the following functions available:\n"]
        for name, function in functions.items():
            parts[-1] += f"\n- `{name}`:\n```json\n"
            parts += [_json(function), "\n```\n"]
        return [*parts[:-1], parts[-1] + _RULES_OF_V3]


_RULES = f"""
IMPORTANT: ALWAYS adhere to this exact format for tool use:
{_BEGIN}{_CALL}tool_call_name{_SEP}tool_call_arguments{_CALL_END}{{additional_tool_calls}}{_END}

Where:

- `tool_call_name` must be an exact match to one of the available tools
- `tool_call_arguments` must be valid JSON that strictly follows the tool's Parameters Schema
- For multiple tool calls, chain them directly without separators or spaces"""
_RULES_OF_V3 = f"""
To call functions, begin with {_BEGIN}, then for each call write
{_CALL}function{_SEP}name of the function
```json
its arguments, as a JSON object
```{_CALL_END}
and after the last one {_END}"""


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _call(part: str) -> Call:
    head, mark, body = part.partition(_SEP)
    body = body.partition(_CALL_END)[0]
    fenced, named = _FENCED.fullmatch(body), _NAMED.fullmatch(head)
    if fenced is not None:
        return named_call(fenced[1], fenced[2])
    if not mark or named is None:
        raise MalformedCall(f"expected a function's name and {_SEP}, got {part!r:.80}")
    return named_call(named[1], body)
