"""Whether guesses are worth their rows: drafts for the answers that share a step.

A drafted id that turns out right spares a step; one that does not has cost a row. From how often
such guesses were right lately, and from what steps of so many rows take in this model, the length
is chosen that gives the most tokens a second; none, where that is more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from halfbyte.engine.engine import Span
from halfbyte.errors import EngineError
from halfbyte.generation.request import Continuation, Request
from halfbyte.generation.speculation.drafter import Draft
from halfbyte.generation.speculation.ngram_index import N_LEAST
from halfbyte.generation.speculation.pool import Pool
from halfbyte.generation.speculation.step_costs import StepCosts

# Rows of a step that are tried: of few each, then such as fill the kernels' tiles.
_N_ROWS = (2, 3, 4, 5, 6, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64)
_GAIN = 1.03  # by how much a draft has to be faster to be tried: it costs more than its rows

Parts = list[tuple[Request, list[Span]]]  # of a step, by request


@dataclass(slots=True)
class Planned:
    """A step so far: its rows, and how many tokens it is expected to give."""

    n_rows: int
    n_tokens: float


class Speculation:
    """One model's, for the thread that runs its steps."""

    def __init__(self) -> None:
        self._costs, self._pool = StepCosts(), Pool()

    def extend(self, parts: Parts, room: int, beside_s: float) -> int:
        """Put drafts into a step of answers, in the room that is left; how many ids they have.

        Args:
            parts: the step so far.
            room: rows that it may have more.
            beside_s: seconds that a step may take beside answers of others.
        """
        if not self._costs.is_known:
            return 0
        n_rows = sum(len(span.tokens) for _, spans in parts for span in spans)
        step, room = Planned(n_rows, float(len(parts))), min(room, _N_ROWS[-1])
        limit_s = beside_s if len({request.call for request, _ in parts}) > 1 else math.inf
        for i, (request, spans) in enumerate(parts):
            if isinstance(request, Continuation) and room > 0:
                n_most = min(request.n_draftable(spans), room)
                if n_most > 0:
                    longer = self._with_draft(request, spans[0], n_most, step, limit_s)
                    room -= len(longer.tokens) - len(spans[0].tokens)
                    parts[i] = request, [longer]
        return step.n_rows - n_rows

    def learn(self, n_rows: int, n_prompt: int, seconds: float) -> None:
        """A step of so many rows has taken so long, n_prompt of them of prompts."""
        if not n_prompt:
            self._costs.learn(n_rows, seconds)
        elif n_prompt == n_rows and n_rows >= _N_ROWS[-1]:
            self._costs.learn_prompt(n_rows, seconds)

    def remember(self, request: Request) -> None:
        """An answer is over."""
        if isinstance(request, Continuation) and request.drafter and request.n_generated:
            # With the prompt's end, after which the same may be said.
            self._pool.add(request.ids[max(request.n_prompt - N_LEAST, 0) :])

    def _with_draft(
        self, request: Continuation, span: Span, n_most: int, step: Planned, limit_s: float
    ) -> Span:
        assert request.drafter is not None and request.sequence is not None
        credit = request.drafter.credit
        credit.settle(request.n_accepted)
        draft = request.draft(n_most, self._pool)
        if draft is None or not draft.ids:
            return span
        plain_s = self._costs.seconds(step.n_rows)
        n, n_expected = self._best_length(draft, step, min(limit_s, plain_s * (1 + credit.n_steps)))
        if not n:
            return span
        ids = draft.ids[:n]
        try:
            request.sequence.reserve(len(span.tokens) + n)
        except EngineError:  # nobody gives up memory for a guess
            return span
        request.drafted = ids
        credit.pay(self._costs.seconds(step.n_rows + n) / plain_s - 1)
        step.n_rows, step.n_tokens = step.n_rows + n, step.n_tokens + n_expected
        return replace(span, tokens=[*span.tokens, *ids], n_out=1 + n)

    def _best_length(self, draft: Draft, step: Planned, limit_s: float) -> tuple[int, float]:
        """How many ids of a draft to try, and how many will be right."""
        seconds = self._costs.seconds(step.n_rows)
        best, best_rate = (0, 0.0), _GAIN * step.n_tokens / seconds
        n_tokens, chance, counted = 0.0, 1.0, 0
        for n in _lengths(step.n_rows, len(draft.ids)):
            for p in draft.chances[counted:n]:
                chance *= p
                n_tokens += chance
            counted = n
            seconds = self._costs.seconds(step.n_rows + n)
            rate = (step.n_tokens + n_tokens) / seconds
            if rate > best_rate and seconds <= limit_s:
                best, best_rate = (n, n_tokens), rate
        return best


def _lengths(n_rows: int, n_most: int) -> Sequence[int]:
    """Lengths of a draft, at most so long, behind so many rows."""
    lengths = [n - n_rows for n in _N_ROWS if 0 < n - n_rows < n_most]
    return [*lengths, n_most]
