"""What the tests of chats ask."""

from __future__ import annotations

from typing import Any

USER: Any = [{"role": "user", "content": "def mean(values):"}]
PARAMETERS = {
    "type": "object",
    "properties": {
        "n": {"type": "integer", "minimum": 1, "maximum": 9}, "of": {"enum": ["é", "x"]},
    },
    "required": ["n", "of"],
    "additionalProperties": False,
}  # fmt: skip
FUNCTION = {"name": "count", "description": "Counts.", "parameters": PARAMETERS}
TOOLS: Any = [
    {"type": "function", "function": FUNCTION},
    {"type": "function", "function": {**FUNCTION, "name": "add"}},
]
SHORT: dict[str, Any] = {"temperature": 0, "max_tokens": 12}
