"""Calls of tools that cannot be malformed: once one begins, its grammar says what may come."""

from __future__ import annotations

from collections.abc import Callable, Set

import numpy as np

from halfbyte.constraints.matcher import Matcher
from halfbyte.errors import RequestError
from halfbyte.generation.chat_text import CallMarks
from halfbyte.generation.rules.grammar_rule import GrammarRule
from halfbyte.generation.rules.thoughts import Thoughts, keep_only
from halfbyte.generation.sampler import F32
from halfbyte.tokenizer import Tokenizer


class ToolCalls:
    """A rule. A mark within a thought begins nothing, unless it ends the thought.

    Args:
        tokenizer: the model's.
        text_of: the bytes that a token stands for, those of control tokens too.
        marks: how calls begin.
        make: a matcher for what follows, or for the whole call where there was no mark.
        make_free: one for a whole call without a mark that the other does not follow.
        ends: tokens that end the answer.
        thoughts: where it is; this rule tells it of the tokens. None where it does not think.
        is_whole: whether the answer, or what follows its thoughts, is a call without a mark.
        is_all: whether nothing may follow a call.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        text_of: Callable[[int], bytes],
        marks: CallMarks,
        make: Callable[[], Matcher],
        make_free: Callable[[], Matcher] | None,
        ends: Set[int],
        *,
        thoughts: Thoughts | None = None,
        is_whole: bool = False,
        is_all: bool = False,
    ) -> None:
        self._tokenizer, self._text_of, self._marks = tokenizer, text_of, marks
        self._makers = [make] if make_free is None else [make, make_free]
        self._ends, self._thoughts = ends, thoughts
        self._starts = [mark.encode() for mark in marks.begins]
        self._text = b""  # outside of calls: what may become a mark
        self._is_new, self._is_whole = True, is_whole
        self._is_all = is_all or marks.is_last or not marks.end
        self._grammar: GrammarRule | None = None

    def change(self, row: F32) -> None:
        """Within a call, forbid what its grammar does; before one, what would begin it badly."""
        if self._grammar is None and self._is_whole and not self._is_thinking:
            self._begin()
        if self._grammar is None:
            for start in self._starts:
                self._forbid_bad_ends(row, start)
            if self._is_new and not self._is_thinking:
                self._forbid_bad_beginnings(row)
            return
        if self._grammar.is_over and self._ends:
            keep_only(row, sorted(self._ends))
            return
        try:
            self._grammar.change(row)
        except RequestError as error:
            raise RequestError("tools", expected=error.expected, got=error.got) from error

    def accept(self, token: int) -> None:
        """Follow it."""
        if self._grammar is not None:
            self._grammar.accept(token)
            if self._grammar.is_over and not self._is_all:
                self._grammar = None
            return
        self._text += self._text_of(token)
        if self._thoughts is not None and not self._thoughts.is_over:
            self._thoughts.take(token)
            if self._thoughts.is_within and self._marks.ends_thoughts:
                self._text = self._text[-max(map(len, self._starts)) :]
                return
            if self._thoughts.is_within or self._thoughts.has_ended:
                self._text = b""
                return
        for start in self._starts:
            at = self._text.find(start)
            if at >= 0:
                self._begin(self._text[at + len(start) :])
                return
        if self._is_new:
            whole = self._marks.begins_with(self._text.decode(errors="replace"))
            if whole:
                self._begin(self._text)
            if whole is None:
                return
            self._is_new = False
        longest = max(map(len, self._starts))
        self._text = self._text[-longest:]

    def _begin(self, begun: bytes = b"") -> None:
        """A call begins, and this much of it is there."""
        self._is_new = self._is_whole = False
        self._text = b""
        ids = self._ids(begun)
        for make in self._makers:
            matcher = make()
            if matcher.n_possible(ids) == len(ids):
                for token in ids:
                    matcher.accept(token)
                self._grammar = GrammarRule(matcher, set(self._ends))
                return

    def _forbid_bad_ends(self, row: F32, start: bytes) -> None:
        """Those tokens that end a mark and go on with what the grammar has no place for."""
        n = next((n for n in range(len(start) - 1, 1, -1) if self._text.endswith(start[:n])), 0)
        if not n:
            return
        rest = start[n:]
        matcher = self._makers[0]()
        bad: list[int] = []
        for token in self._tokenizer.piece_index.beginning_with(rest).tolist():
            ids = self._ids(self._tokenizer.token_bytes(token)[len(rest) :])
            if matcher.n_possible(ids) < len(ids):
                bad.append(token)
        row[bad] = -np.inf

    def _forbid_bad_beginnings(self, row: F32) -> None:
        """Those tokens that begin a call without a mark and go on as none may."""
        begins_with = self._marks.begins_with
        if begins_with(self._text.decode(errors="replace")) is not None:
            return
        matchers, bad = [make() for make in self._makers], []
        for piece, token in self._tokenizer.piece_index.containing(self._marks.tells.encode()):
            text = self._text + piece
            if begins_with(text.decode(errors="replace")):
                ids = self._ids(text)
                if all(matcher.n_possible(ids) < len(ids) for matcher in matchers):
                    bad.append(token)
        row[bad] = -np.inf

    def _ids(self, text: bytes) -> list[int]:
        return self._tokenizer.encode_fragment(text.decode(errors="replace"))

    @property
    def _is_thinking(self) -> bool:
        return self._thoughts is not None and self._thoughts.is_within
