"""gpt-oss' way: a message to a function, in whose head its name is, and its arguments as JSON.

Source: OpenAI's description of Harmony; llama.cpp's parser of it, for what models write besides.
"""

from __future__ import annotations

import re

from halfbyte.prompt.tools.call_format import (
    NO_FUNCTIONS,
    Call,
    CallFormat,
    Functions,
    MalformedCall,
    named_call,
)
from halfbyte.prompt.tools.call_grammar import (
    FREE_JSON,
    Number,
    Spell,
    named_rules,
    quoted,
)
from halfbyte.tokenizer.harmony_texts import (
    ASSISTANT,
    CALL,
    CHANNEL,
    CONSTRAIN,
    END,
    MESSAGE,
    TEXTS,
)

_TO = " to=functions."
_NAME = re.compile(r"\s*([^\s<]+)")
_ENDS = (CALL, END)


class Harmony(CallFormat):
    """to=functions.NAME <|constrain|>json<|message|>{...}, which ends the answer."""

    name = "harmony"
    # The name stands in the head of the channel, or before it.
    begins = (
        f"{ASSISTANT}{CHANNEL}commentary{_TO}", f"{CHANNEL}commentary{_TO}", f"{ASSISTANT}{_TO}",
        f"{CHANNEL}analysis{_TO}",
    )  # fmt: skip
    texts = TEXTS
    tells = "."

    def begins_with(self, text: str) -> bool | None:
        """Whether the function is the first thing, right behind the prompt."""
        if text.startswith(_TO):
            return True
        return None if _TO.startswith(text) else False

    def parse(self, text: str, functions: Functions = NO_FUNCTIONS) -> list[Call]:
        """The one call of a message, which begins with the function's name."""
        head, mark, body = text.partition(MESSAGE)
        name = _NAME.match(head)
        if not mark or name is None:
            raise MalformedCall(f"expected a function's name and {MESSAGE}, got {text!r:.80}")
        for end in _ENDS:
            body = body.removesuffix(end)
        return [named_call(name[1], body)]

    def grammar(self, functions: Functions, spell: Spell, number: Number = "any") -> str:
        """A function's name, the rest of the head, its arguments."""
        return f"start: call\n{_call_rules(functions, spell)}"

    def free_grammar(self, functions: Functions, spell: Spell) -> str:
        """A call that is the first thing."""
        return f"start: {quoted(_TO)} call\n{_call_rules(functions, spell)}"

    def opening(self, name: str | None) -> str:
        """The head, after a thought."""
        begin = self.begins[0]
        return begin if name is None else f"{begin}{name} {CONSTRAIN}json{MESSAGE}"


def _call_rules(functions: Functions, spell: Spell) -> str:
    channel = f'{spell(CHANNEL)} ("commentary" | "analysis")'
    head = f'({channel})? (" "? {spell(CONSTRAIN)} "json" | " json")? {spell(MESSAGE)}'
    return f"head: {head}\n{named_rules(functions, 'head', FREE_JSON)}"
