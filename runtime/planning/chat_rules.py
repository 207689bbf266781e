"""The rules of a chat's answer: how long it thinks, and that its calls of tools are well-formed."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection

from halfbyte.constraints.constraint import Constraint
from halfbyte.constraints.grammar import Grammar, Grammars
from halfbyte.constraints.matcher import Matcher
from halfbyte.errors import RequestError
from halfbyte.generation.rules.after_thoughts import AfterThoughts
from halfbyte.generation.rules.opening import Opening
from halfbyte.generation.rules.rule import Rule
from halfbyte.generation.rules.thinking_budget import ThinkingBudget
from halfbyte.generation.rules.thoughts import Thoughts
from halfbyte.generation.rules.tool_calls import ToolCalls
from halfbyte.import_lock import imported
from halfbyte.prompt.chat import ChatPrompt
from halfbyte.prompt.thinking import Thinking
from halfbyte.prompt.tools.call_grammar import Number, quoted
from halfbyte.prompt.tools.tools import Tools
from halfbyte.tokenizer import Tokenizer, harmony_texts
from halfbyte.tokenizer.detokenizer import StreamDetokenizer

_Makers = tuple[Callable[[], Matcher], Callable[[], Matcher] | None]
log = logging.getLogger(__name__)


class ChatRules:
    """Makes them for one answer."""

    def __init__(
        self, tokenizer: Tokenizer, prompt: ChatPrompt, thinking: Thinking, tools: Tools | None
    ) -> None:
        self._tokenizer, self._prompt = tokenizer, prompt
        self._thinking, self._tools = thinking, tools
        self._must_call = tools is not None and tools.choice not in ("auto", "none")

    def shaped(self, grammars: Grammars, shape: Constraint) -> Grammar:
        """What the answer has to be: it, or calls of functions where they may come.

        Raises:
            RequestError: no grammar can be made of it, or calls could not be told from it.
        """
        calls = self._prompt.calls
        if self._tools is None or calls is None:
            return grammars.compiled(shape)
        if self._must_call or not self._has_mark or self._prompt.is_harmony:
            expected = "nothing beside tools" + ("" if self._must_call else " of this model")
            raise RequestError(shape.kind, expected=expected, got=shape.source)
        mark, functions = self._spelled(calls.begins[0]), self._tools.callable
        source = calls.grammar(functions, self._spelled, "one")
        more = ""
        if self._tools.are_parallel:
            several = calls.grammar(functions, self._spelled, "some")
            if several == source:  # a mark for each call
                more = f" ({quoted(chr(10))}? {mark} called)*"
            source = several
        beside = f"start: {mark} called{more}\ncalled{source.removeprefix('start')}"
        return grammars.compiled(shape, beside=beside)

    def made(self, grammars: Grammars, shape: Grammar | None = None) -> list[Rule]:
        """The rules, in their order; `shape` is what the answer has to be.

        Raises:
            RequestError: no grammar can be made of a tool's schema.
        """
        rules: list[Rule] = []
        tokenizer, marks = self._tokenizer, self._prompt.thoughts
        where, budget = self._thoughts(), self._thinking.reasoning_budget
        says = self._thinking.reasoning_closing
        if self._prompt.is_harmony and self._thinking.thinking is False:
            budget, says = 0, ""  # a thought that it begins all the same is empty
        if budget is not None and where is not None and marks is not None:
            closing = tokenizer.encode_fragment(says) + self._ids(marks[1])
            rules.append(ThinkingBudget(where, StreamDetokenizer(tokenizer), budget, closing))
        if shape is not None:
            return [*rules, self._after_thoughts(shape)]
        if self._tools is None or self._prompt.calls is None:
            first = self._first(harmony_texts.FINAL) if self._thinking.thinking is not None else []
            return [*rules, Opening(first)] if first else rules
        make = self._matchers(grammars)
        has_mark = self._has_mark
        if self._must_call and (has_mark or make is None):
            rules.append(self._opening(is_enforced=make is not None))
        if make is not None:
            rules.append(
                ToolCalls(
                    tokenizer, self._text_of, self._prompt.calls, *make,
                    tokenizer.eog_ids | self._prompt.stop_ids, thoughts=self._thoughts(),
                    is_whole=self._must_call and not has_mark,
                    is_all=self._must_call or not self._tools.are_parallel,
                )
            )  # fmt: skip
        return rules

    @property
    def _has_mark(self) -> bool:
        """Whether a call begins with a text of its own."""
        calls = self._prompt.calls
        return calls is not None and calls.opening(None).startswith(calls.begins[0])

    def _after_thoughts(self, shape: Grammar) -> AfterThoughts:
        marks, tokenizer = self._prompt.thoughts, self._tokenizer
        may_begin = marks is not None and self._thinking.thinking and not self._prompt.is_thinking
        return AfterThoughts(
            shape.matcher, tokenizer.eog_ids | self._prompt.stop_ids, thoughts=self._thoughts(),
            thought_id=tokenizer.id_of(marks[0]) if marks is not None and may_begin else None,
            before=self._first(harmony_texts.FINAL),
            after=self._fragment(
                harmony_texts.ASSISTANT + harmony_texts.FINAL if self._prompt.is_harmony else "\n\n"
            ),
        )  # fmt: skip

    def _first(self, otherwise: str) -> list[int]:
        """What comes first of all: in Harmony the head of a thought, or else this."""
        if not self._prompt.is_harmony:
            return []
        has_none = self._thinking.thinking is False
        return self._fragment(otherwise if has_none else harmony_texts.THOUGHTS[0])

    def _matchers(self, grammars: Grammars) -> _Makers | None:
        """What makes matchers of a call, and of one that is written otherwise, if there are such.

        None, with a word, where nothing can enforce one.
        """
        assert self._tools is not None and self._prompt.calls is not None
        try:
            imported("llguidance")
        except ImportError:
            log.warning(
                "calls of tools may be malformed: pip install 'halfbyte[grammar]' enforces them"
            )
            return None
        calls, functions = self._prompt.calls, self._tools.callable
        source, free = calls.grammar(functions, self._spelled, self._number), ""
        if not self._must_call:
            free = calls.free_grammar(functions, self._spelled)
        try:
            first = grammars.compiled(Constraint("grammar", source)).matcher
            other = grammars.compiled(Constraint("grammar", free)).matcher if free else None
            return first, other
        except RequestError as error:
            expected = "schemas of parameters that a grammar can be made of"
            raise RequestError("tools", expected=expected, got=str(error.got)) from error

    @property
    def _number(self) -> Number:
        """Of calls: a function that is asked for by its name is called once."""
        if self._tools is None:
            return "any"
        if not self._must_call:
            return "any" if self._tools.are_parallel else "optional"
        is_one = self._tools.choice != "required" or not self._tools.are_parallel
        return "one" if is_one else "some"

    def _opening(self, *, is_enforced: bool) -> Opening:
        """What forces the beginning of a call: its mark, or all up to the arguments."""
        assert self._tools is not None and self._prompt.calls is not None
        tokenizer, calls, marks = self._tokenizer, self._prompt.calls, self._prompt.thoughts
        name = None if self._tools.choice == "required" else self._tools.choice
        text, mark = calls.opening(name), calls.begins[0]
        has_mark = text.startswith(mark)
        thinks = self._prompt.is_thinking or self._thinking.thinking is not False
        is_harmony = self._prompt.is_harmony
        if is_harmony and not thinks:  # the prompt has begun the message
            text, mark = (one.removeprefix(harmony_texts.ASSISTANT) for one in (text, mark))
        ids = self._ids(mark) if has_mark else []
        if not is_enforced:
            ids += self._fragment(text.removeprefix(mark) if has_mark else text)
        return Opening(
            ids, thoughts=self._thoughts() if thinks else None,
            before=self._first("") if thinks else [],
            thought_id=tokenizer.id_of(marks[0]) if marks is not None else None,
            after=self._fragment("" if is_harmony else "\n\n"),
            ends=tokenizer.eog_ids | self._prompt.stop_ids,
        )  # fmt: skip

    def _thoughts(self) -> Thoughts | None:
        if self._prompt.thoughts is None:
            return None
        calls, within = self._prompt.calls, self._prompt.is_thinking
        cuts = calls.begins if calls is not None and calls.ends_thoughts else ()
        return Thoughts(self._text_of, self._prompt.thoughts, is_within=within, cuts=cuts)

    def _text_of(self, token: int) -> bytes:
        spelled = self._prompt.spelled.get(token, "").encode()
        return self._tokenizer.token_bytes(token) + spelled

    def _spelled(self, text: str) -> str:
        """A mark as grammars have it, by its tokens."""
        known = self._tokenizer.id_of(text)
        if known is not None:
            return f"<[{known}]>"
        parts = ((part, self._control_id(part)) for part in self._parts(text))
        return " ".join(quoted(part) if i is None else f"<[{i}]>" for part, i in parts)

    def _ids(self, mark: str) -> list[int]:
        """The tokens of a mark: its own, where it has one."""
        known = self._tokenizer.id_of(mark)
        return self._fragment(mark) if known is None else [known]

    def _fragment(self, text: str) -> list[int]:
        """The tokens of a text with control tokens of the answer's marks in it."""
        ids: list[int] = []
        for part in self._parts(text):
            known = self._control_id(part)
            ids += self._tokenizer.encode_fragment(part) if known is None else [known]
        return ids

    def _parts(self, text: str) -> list[str]:
        """A text, cut before and behind each such token."""
        marks = "|".join(map(re.escape, self._control_texts))
        parts = re.split(f"({marks})", text) if marks else [text]
        return [part for part in parts if part]

    def _control_id(self, part: str) -> int | None:
        return self._tokenizer.id_of(part) if part in self._control_texts else None

    @property
    def _control_texts(self) -> Collection[str]:
        return harmony_texts.TEXTS if self._prompt.is_harmony else self._prompt.spelled.values()
