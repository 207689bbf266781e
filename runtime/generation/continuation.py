"""A request whose tokens are chosen one after another from the model's logits."""

from __future__ import annotations

import logging
import time
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest

import numpy as np

from halfbyte.engine.engine import Span
from halfbyte.errors import EngineError
from halfbyte.generation.completion import Stats
from halfbyte.generation.request import Request
from halfbyte.generation.respelling import Respelling
from halfbyte.generation.sampler import F32
from halfbyte.generation.speculation.drafter import Draft, Drafter
from halfbyte.generation.speculation.pool import Pool

log = logging.getLogger(__name__)


class Continuation(Request):
    """A request whose tokens are chosen one after another from the model's logits.

    Attributes:
        respelling: what finds the first tokens, where a prompt's end was taken back; they are not
            sampled, but accepted. Its paths are branches of the sequence, for one step each.
        drafter: what guesses the next tokens; None where nothing does.
        drafted: guesses behind the ids, in the step that is planned.
        n_decode: tokens chosen after the first step that chose any.
        n_drafted, n_accepted: tokens that were guessed, and that were guessed right.
    """

    def __init__(
        self,
        prompt: Sequence[int],
        n_ctx: int,
        respelling: Respelling | None,
        drafter: Drafter | None = None,
    ) -> None:
        super().__init__(prompt)
        self.n_ctx = n_ctx
        self.respelling, self.drafter = respelling, drafter
        self.drafted: Sequence[int] = ()
        self.n_decode = self.n_drafted = self.n_accepted = 0
        self._rows: list[F32] = []  # what the respelling asked for, as far as it has come

    @property
    def tokens(self) -> list[int]:
        """What was generated."""
        return self.ids[self.n_prompt :]

    @property
    def n_generated(self) -> int:
        """How many tokens were generated."""
        return len(self.ids) - self.n_prompt

    @property
    def is_guessed(self) -> bool:
        """Whether anything guesses what comes next."""
        return self.drafter is not None

    @property
    def n_left(self) -> int:
        """Most tokens that can still come."""
        return self.n_ctx - len(self.ids)

    def n_draftable(self, spans: Sequence[Span]) -> int:
        """How many guesses can be verified behind these spans, which it asked for."""
        is_respelling = self.respelling is not None and not self.respelling.tokens
        if self.drafter is None or is_respelling or not (self.is_answering and spans[0].n_out):
            return 0
        return self.n_left - 1  # the last needs none

    def without_guesses(self, span: Span) -> Span:
        """The same span without the guesses behind its ids, and without memory for them."""
        self.drafted = ()
        span.sequence.truncate(span.sequence.n_past)
        return replace(span, tokens=span.tokens[: super().n_wanted], n_out=1, n_guessed=0)

    @property
    def n_wanted(self) -> int:
        """The ids that are not computed; then, the paths of a respelling."""
        return super().n_wanted or sum(map(len, self._paths()))

    def spans(self, n_max: int) -> list[Span]:
        """The next ids, or forks along the paths of a respelling."""
        self.drafted = ()
        if super().n_wanted:
            return super().spans(n_max)
        assert self.sequence is not None
        spans: list[Span] = []
        for path in self._paths():
            n_max -= len(path)
            if n_max < 0:
                break
            try:
                fork = self.sequence.fork(self.n_computed)
                span = Span(fork, path, n_out=1, adapters=self.adapters or ())
                span.reserve()
            except EngineError:
                if not spans:
                    raise
                break  # the others come in a later step, which has the memory of these
            spans.append(span)
        return spans

    def take(self, logits: F32) -> None:
        """Choose the next token, or tell the respelling."""
        if not len(logits):
            return
        self.is_answering = True
        if self.respelling is not None and not self.respelling.tokens:
            self._rows.append(logits.copy())
            if sum(map(len, self._rows)) < len(self.respelling.wanted):
                return
            self.respelling.tell(np.concatenate(self._rows), self.n_ctx - self.n_computed)
            self._rows = []
            for token in self.respelling.tokens:
                if not self.finish_reason:
                    self.accept(token)
        else:
            self._choose(logits)
        self.clock.last_s = time.perf_counter()
        self.clock.first_s = self.clock.first_s or self.clock.last_s

    def draft(self, n_most: int, pool: Pool) -> Draft | None:
        """What may follow the ids, so many ids at most."""
        assert self.drafter is not None
        return self.drafter.draft(self.ids, self.n_prompt, n_most, pool)

    def n_possible(self, guesses: Sequence[int]) -> int:
        """How many of these guesses can come in a row."""
        return len(guesses)

    def _choose(self, logits: F32) -> None:
        """Choose the next token and, as long as it is what was guessed, the one after it."""
        drafted, self.drafted = self.drafted, ()
        self.n_drafted += len(drafted)
        n_computed = self.n_computed - len(drafted)
        try:
            for row, guess in zip_longest(logits, drafted):
                self.n_decode += int(self.clock.first_s > 0)
                n_ids = len(self.ids)
                token = self.sample(row)
                if not self.finish_reason:
                    self.accept(token)
                went_on = bool(self.finish_reason) or len(self.ids) > n_ids
                if token != guess or not went_on:
                    break
                n_computed += 1
                self.n_accepted += 1
                if self.finish_reason:
                    break
        finally:  # what fails here is remembered up to there, too
            if drafted:
                self._cut_back(min(n_computed, len(self.ids)))

    def take_back(self, n: int) -> None:
        """Take the last n tokens back; the one before them is computed again, for its logits."""
        del self.ids[len(self.ids) - n :]
        self.drafter = None  # it has followed the ids
        self._cut_back(len(self.ids) - 1)

    def _cut_back(self, n: int) -> None:
        """Keep what is computed of the first n ids; nothing, where memory for that is missing.

        What was computed for other ids must never stand for these.
        """
        if self.sequence is None:
            return
        try:
            self.sequence.truncate(n)
        except (EngineError, MemoryError) as error:
            log.info("an answer is computed again: %s", error)
            self.sequence = None

    @abstractmethod
    def sample(self, logits: F32) -> int:
        """The next token; not taken yet."""

    @abstractmethod
    def accept(self, token: int) -> None:
        """Take a token; sets `finish_reason` when it was the last."""

    def stats(self) -> Stats:
        """What it cost."""
        clock = self.clock
        if not clock.first_s:
            now = time.perf_counter()
            prefill_s, decode_s = now - (clock.begun_s or now), 0.0
        else:
            prefill_s, decode_s = clock.first_s - clock.begun_s, clock.last_s - clock.first_s
        return Stats(
            self.n_prompt, prefill_s, self.n_decode, decode_s,
            min(self.n_reused or 0, self.n_prompt),
            "" if self.mismatch is None else str(self.mismatch), self.n_drafted, self.n_accepted,
        )  # fmt: skip

    def _n_out(self, begin: int, end: int) -> int:
        return int(end == len(self.ids) and not self._paths())

    def _paths(self) -> Sequence[Sequence[int]]:
        """Behind the ids: where a respelling wants logits that have not come yet."""
        if self.respelling is None or self.respelling.tokens:
            return ()
        wanted = self.respelling.wanted[sum(map(len, self._rows)) :]
        return [] if wanted == [()] else wanted
