"""What a chat gives: the answer, what was thought before it, and the functions that it calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Literal, NamedTuple

from halfbyte.errors import ToolCallError
from halfbyte.generation.completion import Completion
from halfbyte.lazy_dataclass import dataclass
from halfbyte.results import Result

PartKind = Literal["reasoning", "content", "tool_call"]


class Part(NamedTuple):
    """A piece of an answer, and what it is a piece of."""

    kind: PartKind
    text: str


@dataclass(frozen=True, slots=True)
class ToolCall(Result):
    """A function that the model asks for.

    Attributes:
        id: nine letters and digits; the message with the function's result repeats it.
        name: one of the tools'.
        arguments: what it is called with, by name.
    """

    id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ChatCompletion(Completion):
    """The answer to a conversation; `text` is what is meant for the user.

    Its finish_reason is "tool_calls" where it ended by itself and calls functions.

    Attributes:
        reasoning: what the model thought before; empty for models that do not.
        tool_calls: the functions that it asks for, in order.
        cut_call: what there is of a call that max_tokens, the context or the time cut short; it is
            not among `tool_calls`.
        tool_error: why a call cannot be read, with its text; `tool_calls` has those before it. One
            answer is not returned then, but the error is raised; of several, each has its own.
    """

    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    cut_call: str = ""
    tool_error: ToolCallError | None = None

    @classmethod
    def of(cls, done: Completion, tool_calls: Sequence[ToolCall], **parts: Any) -> ChatCompletion:
        """The result of the generation `done`, whose text is the content."""
        values = {field.name: getattr(done, field.name) for field in fields(done)}
        if tool_calls and done.finish_reason == "stop":
            values["finish_reason"] = "tool_calls"
        return cls(**values, tool_calls=tuple(tool_calls), **parts)

    def check_calls(self) -> None:
        """ToolCallError, which holds this answer, where a call cannot be read."""
        if self.tool_error is not None:
            raise ToolCallError(self.tool_error.reason, self.tool_error.text, self)

    @property
    def message(self) -> dict[str, Any]:
        """It as the conversation's next message; the results of calls come after it."""
        made: dict[str, Any] = {"role": "assistant", "content": self.text}
        if self.reasoning:
            made["reasoning_content"] = self.reasoning
        if self.tool_calls:
            made["tool_calls"] = [
                {
                    "id": call.id, "type": "function",
                    "function": {"name": call.name, "arguments": dict(call.arguments)},
                }
                for call in self.tool_calls
            ]  # fmt: skip
        return made
