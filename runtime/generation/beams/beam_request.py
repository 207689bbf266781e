"""A beam search as one request: its branches are forks of the prompt's sequence, in one step.

A branch's sequence becomes its first child's and is forked for the others. Where they were given
up, for want of memory, or where a step has no room for all of them, they are computed again or
later, and the search waits: it is told nothing but complete rounds.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from halfbyte.engine.engine import Span
from halfbyte.engine.sequence import Sequence as EngineSequence
from halfbyte.generation.beams.beam_records import BeamRecords
from halfbyte.generation.beams.beam_search import Hypothesis, Path, Search
from halfbyte.generation.beams.branch_rules import BranchRules
from halfbyte.generation.completion import FinishReason, Stats
from halfbyte.generation.params import SamplingParams
from halfbyte.generation.records import Records
from halfbyte.generation.request import Request
from halfbyte.generation.rules.rule import ForkingRule, Rule, changed
from halfbyte.generation.sampler import (
    F32,
    F64,
    log_softmax,
    penalize_counts,
    penalize_repetition,
)


class Answers(Protocol):
    """What the caller gets; see beam_answers.py.

    Attributes:
        records: takes the probabilities of branches' tokens.
        prompt_records: takes those of the prompt's.
    """

    records: BeamRecords
    prompt_records: Records

    def made(self, found: list[Hypothesis], stats: Stats, cut_by: FinishReason) -> Any:
        """Of the hypotheses, the best first; `cut_by` is why those ended that nothing ended."""


class BeamRequest(Request):
    """The answers that a search finds behind a prompt.

    Attributes:
        n_max: most tokens of an answer.
    """

    def __init__(
        self,
        prompt: Sequence[int],
        params: SamplingParams,
        search: Search,
        n_max: int,
        answers: Answers,
        make_rules: Callable[[], Sequence[ForkingRule]] = tuple,
    ) -> None:
        """A request at its beginning.

        Args:
            prompt: what the model sees first.
            params: of which the penalties are applied to log-probabilities, as transformers does.
            search: what is looked for.
            n_max: most tokens of an answer.
            answers: takes the probabilities, where they are asked for, and makes what the caller
                gets.
            make_rules: makes rules, which change log-probabilities; each branch has its own.
        """
        self._branches: dict[Path, EngineSequence] = {}
        self._parents: dict[Path, EngineSequence] = {}
        self._n_children: Counter[Path] = Counter()
        self._rows: list[
            F64
        ] = []  # of the branches that the search wants, as far as they have come
        super().__init__(prompt)
        self.n_max, self.n_generated, self.n_decode = n_max, 0, 0
        self._params, self._search, self._answers = params, search, answers
        self._rules = BranchRules(make_rules)
        self.is_remembered = not answers.prompt_records.of_prompt
        if n_max <= 0:
            self.finish_reason = "length"

    @property
    def sequence(self) -> EngineSequence | None:
        """The prompt's; without it there are no branches."""
        return self._sequence

    @sequence.setter
    def sequence(self, value: EngineSequence | None) -> None:
        self._sequence = value
        self._branches, self._parents = {}, {}

    @property
    def n_said(self) -> int:
        """The prompt's tokens, and those of an answer of a search."""
        return self.n_prompt + self.n_generated

    @property
    def n_wanted(self) -> int:
        """The prompt's tokens that are not computed; then, those of branches."""
        return super().n_wanted or sum(map(self._n_missing, self._left()))

    def spans(self, n_max: int) -> list[Span]:
        """The prompt, or as many branches as there is room for, the last one perhaps in part."""
        if super().n_wanted:
            return super().spans(n_max)
        spans: list[Span] = []
        for path in self._left():
            if n_max <= 0:
                break
            sequence = self._branch(path)
            left = path[sequence.n_past - self.n_prompt :]
            tokens = left[:n_max]
            n_max -= len(tokens)
            n_out = int(len(tokens) == len(left))
            spans.append(Span(sequence, tokens, n_out, self.adapters or ()))
        return spans

    def take(self, logits: F32) -> None:
        """Take rows of branches; with the last one of a round, find the next branches.

        Rows of the prompt come before, where they are wanted.
        """
        if self._answers.prompt_records.want_prompt:
            logits = self._answers.prompt_records.take_prompt(self.ids, self.n_computed, logits)
        if not len(logits):
            return
        self.is_answering = True
        for row, path in zip(logits, self._left(), strict=False):
            self._rows.append(self._log_probs(row, path))
        if len(self._rows) == len(self._search.wanted):
            told, search, records = self._search.wanted, self._search, self._answers.records
            search.tell(self._rows)
            if records.are_wanted:
                found = (one.tokens for one in search.best())
                records.follow(told, dict.fromkeys([*search.wanted, *found]))
            self._rows, self.n_generated = [], self.n_generated + 1
            self.n_decode += int(self.n_generated > 1)
            self._n_children = Counter(path[:-1] for path in self._search.wanted)
            self._parents = {p: s for p, s in self._branches.items() if p in self._n_children}
            self._branches = {}
            if not self._search.wanted:
                best = self._search.best()
                self.finish_reason = "stop" if best and best[0].is_ended else "length"
        self.clock.last_s = time.perf_counter()
        self.clock.first_s = self.clock.first_s or self.clock.last_s

    def result(self, cut_by: FinishReason | None = None) -> Any:
        """What the caller gets of the hypotheses."""
        clock, now = self.clock, time.perf_counter()
        first_s = clock.first_s or now
        stats = Stats(
            self.n_prompt, first_s - (clock.begun_s or now), self.n_decode,
            max(clock.last_s - first_s, 0.0), self.n_reused or 0,
            "" if self.mismatch is None else str(self.mismatch),
        )  # fmt: skip
        late: FinishReason = "time" if self.finish_reason == "time" else "length"
        return self._answers.made(self._search.best(), stats, cut_by or late)

    def _n_out(self, begin: int, end: int) -> int:
        n_out = int(end == len(self.ids) and self._left() == [()])
        return max(n_out, self._answers.prompt_records.n_rows(begin, end))

    def _left(self) -> list[Path]:
        """The branches whose rows have not come yet."""
        return self._search.wanted[len(self._rows) :]

    def _n_missing(self, path: Path) -> int:
        sequence = self._branches.get(path)
        if sequence is not None:
            return len(path) - (sequence.n_past - self.n_prompt)
        return 1 if path[:-1] in self._parents else len(path)

    def _branch(self, path: Path) -> EngineSequence:
        """The sequence of a branch, in whole or as far as it is computed.

        Raises:
            EngineError: there is no memory for it.
        """
        assert self._sequence is not None
        if path not in self._branches:
            above = path[:-1]
            parent = self._parents.get(above)
            if parent is None:
                self._branches[path] = self._sequence.fork(self.n_prompt)
            elif self._n_children[above] > 1:
                self._branches[path] = parent.fork(self.n_prompt + len(above))
                self._n_children[above] -= 1
            else:  # the last child: nobody needs the parent any more
                self._branches[path] = self._parents.pop(above)
        return self._branches[path]

    def _log_probs(self, row: F32, path: Path) -> F64:
        """Logarithms of the probabilities behind a branch, with rules and penalties."""
        logs, params, rules = log_softmax(row), self._params, self._rules.behind(path)
        scores = self._changed(logs, path, rules) if params.has_penalties or rules else logs
        self._answers.records.take(logs, scores)
        return scores

    def _changed(self, logs: F64, path: Path, rules: Sequence[Rule]) -> F64:
        params = self._params
        scores: F32 = changed(logs.astype(np.float32), rules)
        if params.repetition_penalty != 1.0:
            seen = np.unique(np.array([*self.ids, *path], np.int64))
            scores = penalize_repetition(scores, seen, params.repetition_penalty)
        if path:
            ids, counts = np.unique(np.array(path, np.int64), return_counts=True)
            presence, frequency = params.presence_penalty, params.frequency_penalty
            scores = penalize_counts(scores, ids, counts.astype(np.int32), presence, frequency)
        return scores.astype(np.float64)
