"""The way for models whose template has no place for tools: SmolLM2's, told in a system message.

Source: the model card of SmolLM2-1.7B-Instruct and the prompt that its makers trained it with; tool
results as Hermes gives them, since the card has none.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from halfbyte.prompt.messages import Message, need
from halfbyte.prompt.tools.call_format import (
    NO_FUNCTIONS,
    Call,
    CallFormat,
    Functions,
    call_of,
    values_in,
)
from halfbyte.prompt.tools.call_grammar import Number, Spell, call_rules
from halfbyte.prompt.tools.tools import Tools

_SYSTEM = """\
You are an expert in composing functions. You are given a question and a set of possible functions.
Based on the question, you will need to make one or more function/tool calls to achieve the purpose.
If none of the functions can be used, point it out and refuse to answer.
If the given question lacks the parameters required by the function, also point it out.

You have access to the following tools:
<tools>%s</tools>

The output MUST strictly adhere to the following format, and NO other text MUST be included.
The example format is as follows. Please make sure the parameter type is correct. If no function \
call is needed, please make the tool calls an empty list '[]'.
<tool_call>[
{"name": "func_name1", "arguments": {"argument1": "value1", "argument2": "value2"}},
... (more tool calls as required)
]</tool_call>"""


class Generic(CallFormat):
    """<tool_call>[{"name": ..., "arguments": {...}}, ...]</tool_call>; an empty list calls none."""

    name = "generic"
    begins = ("<tool_call>",)
    end = "</tool_call>"

    def parse(self, text: str, functions: Functions = NO_FUNCTIONS) -> list[Call]:
        """The calls of a list, or an object as Hermes has it."""
        calls: list[Call] = []
        for value in values_in(text):
            for one in value if isinstance(value, list) else [value]:
                calls.append(call_of(one, "arguments", "parameters"))
        return calls

    def grammar(self, functions: Functions, spell: Spell, number: Number = "any") -> str:
        """A list of calls and its end; blanks as in the example or none."""
        some = 'call ("," blank call)*'
        items = {"any": f"({some})?", "some": some, "one": "call", "optional": "call?"}[number]
        start = rf'start: "[" blank {items} blank "]" {spell(self.end)}'
        blank = r'blank: ("\n" | " ")?'
        return f"{start}\n{blank}\n{call_rules(functions, self.key)}"

    def opening(self, name: str | None) -> str:
        """The tag, the list and the function's name."""
        begin = '<tool_call>[\n{"name": "'
        return begin if name is None else f'{begin}{name}", "arguments":'


def told(
    messages: Sequence[Message], tools: Tools | None, *, has_system: bool = True
) -> list[Message]:
    """The conversation in roles that every template knows, with the tools in its first message.

    That is a system message, or where there is none for a template, the user's first one.
    """
    made: list[Message] = []
    before = ""
    for i, message in enumerate(messages):
        plain, role = _plain(message), message["role"]
        if role == "tool":
            need(before in ("assistant", "tool"), "role tool after an assistant's calls", i, role)
        is_next, before = before == role == "tool", str(role)
        if is_next:  # templates want users and assistants in turns
            made[-1] = {**made[-1], "content": f"{made[-1]['content']}\n{plain['content']}"}
        else:
            made.append(plain)
    if tools is None:
        return made
    text = _SYSTEM % json.dumps(tools.as_list, ensure_ascii=False)
    if made[0]["role"] == "system":
        text = f"{text}\n\n{made.pop(0)['content']}"
    if has_system or not made or made[0]["role"] != "user":
        return [{"role": "system", "content": text}, *made]
    return [{"role": "user", "content": f"{text}\n\n{made[0]['content']}"}, *made[1:]]


def _plain(message: Message) -> Message:
    if message["role"] == "tool":
        content = f"<tool_response>\n{message['content']}\n</tool_response>"
        return {"role": "user", "content": content}
    calls: Any = message.get("tool_calls")
    if message["role"] != "assistant" or not calls:
        return message
    written = ",\n".join(
        json.dumps({"name": call["function"]["name"], "arguments": call["function"]["arguments"]},
                   ensure_ascii=False)
        for call in calls
    )  # fmt: skip
    return {
        "role": "assistant",
        "content": f"{message['content']}<tool_call>[\n{written}\n]</tool_call>",
    }
