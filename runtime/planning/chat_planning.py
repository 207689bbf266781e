"""From what a caller of chat asks, besides the messages, to what its request needs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from halfbyte.constraints.constraint import Constraint
from halfbyte.constraints.grammar import Grammars
from halfbyte.errors import RequestError, ToolCallError
from halfbyte.generation.chat_completion import ChatCompletion, ToolCall
from halfbyte.generation.chat_text import ChatText
from halfbyte.generation.completion import Completion
from halfbyte.generation.harmony_text import HarmonyText
from halfbyte.lazy_dataclass import dataclass
from halfbyte.planning.chat_rules import ChatRules
from halfbyte.prompt.chat import ChatPrompt
from halfbyte.prompt.thinking import Thinking
from halfbyte.prompt.tools.call_format import MalformedCall, whole_characters
from halfbyte.prompt.tools.tools import Tools
from halfbyte.tokenizer import Tokenizer

_ID_LENGTH = 9  # what Mistral's templates want


@dataclass(frozen=True, slots=True)
class ChatAsked:
    """The keywords of a chat that are not its method's own.

    Attributes:
        tools: functions that may be called.
        thinking: whether and how long it thinks.
        shape: what the answer has to be, where it may think or call functions besides.
    """

    tools: Tools | None
    thinking: Thinking
    shape: Constraint | None = None

    @classmethod
    def split(cls, options: Mapping[str, Any]) -> tuple[ChatAsked, dict[str, Any]]:
        """What the options of a call ask for, and the other options.

        Raises:
            RequestError: a bad value; `param` names it.
        """
        thinking, rest = Thinking.split(options)
        tools = Tools.of(
            rest.pop("tools", None), rest.pop("tool_choice", None),
            rest.pop("parallel_tool_calls", True),
        )  # fmt: skip
        return cls(tools, thinking), rest

    def request(
        self,
        tokenizer: Tokenizer,
        grammars: Grammars,
        prompt: ChatPrompt,
        stops: Sequence[str],
        banned: Sequence[str] = (),
    ) -> dict[str, Any]:
        """How its TextRequest differs from others: what takes its text, its rules, its result.

        Raises:
            RequestError: no grammar can be made of a tool's schema, or strings cannot be banned.
        """
        if banned and (prompt.thoughts or prompt.calls):
            expected = "nothing in a chat with thoughts or tools"
            raise RequestError("banned_strings", expected=expected, got=list(banned))
        shown = (HarmonyText if prompt.is_harmony else ChatText)(
            stops, thoughts=prompt.thoughts, is_thinking=prompt.is_thinking, calls=prompt.calls,
            spelled=prompt.spelled, banned=banned,
            read=lambda texts: self._calls(prompt, texts)[0],
        )  # fmt: skip

        rules = ChatRules(tokenizer, prompt, self.thinking, self.tools)
        shape = None if self.shape is None else rules.shaped(grammars, self.shape)

        def finish(done: Completion) -> ChatCompletion:
            made = self._result(prompt, shown, done)
            if shape is None or made.tool_calls:
                return made
            return replace(made, is_complete=shape.accepts(made.text))

        return {"shown": shown, "rules": rules.made(grammars, shape), "finish": finish}

    @property
    def may_call(self) -> bool:
        """Whether the answer may call functions."""
        return self.tools is not None and self.tools.choice != "none"

    def _result(self, prompt: ChatPrompt, shown: ChatText, done: Completion) -> ChatCompletion:
        texts, cut = list(shown.calls), ""
        if texts and done.finish_reason != "stop" and (shown.is_within_call or not _ends(prompt)):
            cut = texts.pop()
        made, why = self._calls(prompt, texts)
        return ChatCompletion.of(
            done, made, reasoning=shown.reasoning, cut_call=cut, tool_error=why
        )

    def _calls(
        self, prompt: ChatPrompt, texts: Sequence[str]
    ) -> tuple[list[ToolCall], ToolCallError | None]:
        """The calls, and why the one after them cannot be read."""
        calls: list[ToolCall] = []
        known = self.tools.callable if self.tools is not None else {}
        for text in texts:
            try:
                found = prompt.calls.parse(text, known) if prompt.calls is not None else []
                for name, arguments in found:
                    if self.tools is not None and name not in known:
                        raise MalformedCall(f"no function is called {name!r:.80}")
                    arguments = whole_characters(arguments)
                    made = call_id(prompt.tokens, len(calls), name, arguments)
                    calls.append(ToolCall(made, name, arguments))
            except MalformedCall as error:
                return calls, ToolCallError(str(error), text)
        return calls, None


def call_id(prompt: Sequence[int], index: int, name: str, arguments: Mapping[str, Any]) -> str:
    """The id of a call: the same conversation gives the same one again, and others other ones."""
    text = json.dumps([list(prompt), index, name, arguments])
    return hashlib.sha256(text.encode()).hexdigest()[:_ID_LENGTH]


def _ends(prompt: ChatPrompt) -> bool:
    """Whether calls have an end of their own."""
    return prompt.calls is not None and bool(prompt.calls.end)
