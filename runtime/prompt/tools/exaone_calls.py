"""EXAONE 4's way: Hermes' objects between the same tags, without line breaks inside them.

Source: the chat template of EXAONE 4.0, which shows functions between <tool> tags and gives results
between <tool_result> tags.
"""

from __future__ import annotations

from collections.abc import Sequence

from halfbyte.prompt.tools.call_format import Call, Functions
from halfbyte.prompt.tools.call_grammar import Number, Spell, call_rules
from halfbyte.prompt.tools.hermes import Hermes


class Exaone4(Hermes):
    """<tool_call>{"name": ..., "arguments": {...}}</tool_call>, a line for each call."""

    name = "exaone-4"

    def grammar(self, functions: Functions, spell: Spell, number: Number = "any") -> str:
        """A call and its end."""
        return f"start: call {spell(self.end)}\n{call_rules(functions, self.key)}"

    def opening(self, name: str | None) -> str:
        """The tag and the function's name."""
        return super().opening(name).replace("\n", "", 1)

    def written(self, calls: Sequence[Call]) -> list[str]:
        """A pair of tags for each."""
        parts = super().written(calls)
        return [part if part == "\n" else part.strip("\n") for part in parts]
