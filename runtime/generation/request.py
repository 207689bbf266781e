"""A request: one sequence of tokens on its way through the model.

There is no phase of prefill and none of decode. A request has `ids`, its prompt and what was
generated, and a sequence of which the first ones are computed; it catches up with its ids. A
prompt's chunks, the one new token of an answer, what a remembered prompt spares and what is
computed again after its memory was needed elsewhere are all the same: ids that are not computed.

A request is made in its caller's thread and is the scheduler's from `submit` on; the caller then
reads it, and may set `is_cancelled`.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Literal, Protocol

import numpy as np

from halfbyte.engine.adapter_weights import Applied
from halfbyte.engine.engine import Span, check_finite
from halfbyte.engine.sequence import Sequence as EngineSequence
from halfbyte.generation.adaptation import key_of
from halfbyte.generation.completion import FinishReason, Stats
from halfbyte.generation.mismatch import Mismatch
from halfbyte.generation.respelling import Respelling
from halfbyte.generation.sampler import F32
from halfbyte.generation.speculation.drafter import Drafter
from halfbyte.generation.terms import Terms

_SHORT = 64  # ids to catch up with that an answer on its way need not stand in line for


class Caller(Protocol):
    """Whoever made requests together and waits for them.

    Attributes:
        terms: how soon they are to be done.
        tag: where the last of them stands in line.
    """

    terms: Terms
    tag: float

    def tell(self, request: Request) -> None:
        """Something came of a request, or it is over; called by the scheduler's thread."""


@dataclass(slots=True)
class Clock:
    """When a request was submitted, in its first step, and gave its first and its last token."""

    submitted_s: float = 0.0
    begun_s: float = 0.0
    first_s: float = 0.0
    last_s: float = 0.0


class Request(ABC):
    """What the scheduler knows of every request.

    Attributes:
        ids: the prompt's `n_prompt` tokens, then what was generated.
        sequence: what is computed of them; None while it waits.
        finish_reason: empty until it is finished.
        error: what ended it instead.
        is_answering: whether its prompt is done, and tokens come.
        is_cancelled: whether its caller has lost interest; set from any thread.
        is_over: set last: nothing will come of it any more.
        call: whoever waits for it, until it is over.
        tag: its place in line.
        is_remembered: whether what was processed before may stand in for its beginning.
        adapters: what its tokens go through; None: whatever all do that do not say.
        adapter: tells what was processed with them from the rest, None for the model alone.
        n_reused: how many of the prompt's tokens were known; None before it has begun.
        mismatch: where it leaves a remembered prompt for a short part only.
        n_told: of how many of the prompt's tokens the caller knows that they are computed.
        n_due: tokens that its place in line counts on and that were not computed yet.
    """

    call: Caller

    def __init__(self, prompt: Sequence[int]) -> None:
        self.ids = list(prompt)
        self.n_prompt = len(self.ids)
        self.sequence: EngineSequence | None = None
        self.finish_reason: FinishReason | Literal[""] = ""
        self.error: BaseException | None = None
        self.is_answering = self.is_cancelled = self.is_over = False
        self.tag: tuple[float, int] = (0.0, 0)
        self.clock = Clock()
        self.is_remembered = True
        self.adapters: Sequence[Applied] | None = None
        self.adapter: Hashable = None
        self.n_reused: int | None = None
        self.mismatch: Mismatch | None = None
        self.n_told = self.n_due = 0

    @property
    def prompt(self) -> list[int]:
        """What the model sees first."""
        return self.ids[: self.n_prompt]

    @property
    def n_computed(self) -> int:
        """How many of the ids are computed."""
        return 0 if self.sequence is None else self.sequence.n_past

    @property
    def n_wanted(self) -> int:
        """Tokens that it would have computed now."""
        return len(self.ids) - self.n_computed

    @property
    def is_urgent(self) -> bool:
        """Whether it is in every step."""
        n_behind = len(self.ids) - self.n_computed
        return self.is_answering and self.sequence is not None and n_behind <= _SHORT

    @property
    def needs_work(self) -> bool:
        """Whether it is to be computed at all."""
        return not (self.finish_reason or self.error is not None or self.is_cancelled)

    def go_through(self, adapters: Sequence[Applied]) -> None:
        """Have the tokens processed with these; before it has begun."""
        self.adapters, self.adapter = adapters, key_of(adapters)

    def spans(self, n_max: int) -> list[Span]:
        """What it wants of the next step, n_max tokens at most; may be nothing.

        Raises:
            EngineError: there is no memory for it.
        """
        assert self.sequence is not None
        begin = self.n_computed
        end = min(begin + n_max, len(self.ids))
        n_out = self._n_out(begin, end)
        return [Span(self.sequence, self.ids[begin:end], n_out, self.adapters or ())]

    def result(self, cut_by: FinishReason | None = None) -> Any:
        """What the caller gets; of a request that is cut short, what there is, for that reason."""
        return None

    @abstractmethod
    def _n_out(self, begin: int, end: int) -> int:
        """For how many of the last tokens among begin .. end - 1 logits are wanted."""

    @abstractmethod
    def take(self, logits: F32) -> None:
        """Take the rows that a step gave for `spans`, which are valid until the next one.

        Raises:
            HalfbyteError: they cannot be used; the request ends with that.
        """


class LogitsRequest(Request):
    """Logits after each token of a text: `logits` is float32 (n_prompt, V), filled row by row."""

    def __init__(self, prompt: Sequence[int], logits: F32) -> None:
        super().__init__(prompt)
        self.is_remembered = False  # every row is wanted
        self.logits = logits
        self._n_taken = 0

    def _n_out(self, begin: int, end: int) -> int:
        return max(end - max(begin, self._n_taken), 0)

    def take(self, logits: F32) -> None:
        """Copy them."""
        check_finite(logits, self._n_taken)
        self.logits[self._n_taken : self._n_taken + len(logits)] = logits
        self._n_taken += len(logits)
        if self._n_taken == self.n_prompt:
            self.finish_reason = "length"


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

    def n_draftable(self, spans: Sequence[Span]) -> int:
        """How many guesses can be verified behind these spans, which it asked for."""
        is_respelling = self.respelling is not None and not self.respelling.tokens
        if self.drafter is None or is_respelling or not (self.is_answering and spans[0].n_out):
            return 0
        # The last id that there is room for is never computed.
        return self.n_ctx - len(self.ids) - 1 if spans[0].sequence.can_truncate else 0

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
            fork = self.sequence.fork(self.n_computed)
            spans.append(Span(fork, path, n_out=1, adapters=self.adapters or ()))
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

    def _choose(self, logits: F32) -> None:
        """Choose the next token and, as long as it is what was guessed, the one after it."""
        drafted, self.drafted = self.drafted, ()
        self.n_drafted += len(drafted)
        n_computed = self.n_computed - len(drafted)
        try:
            for row, guess in zip_longest(logits, drafted):
                self.n_decode += int(self.n_generated > 0)
                token = self.sample(row)
                if not self.finish_reason:
                    self.accept(token)
                if token != guess:
                    break
                n_computed += 1
                self.n_accepted += 1
                if self.finish_reason:
                    break
        finally:  # what fails here is remembered up to there, too
            if drafted:
                assert self.sequence is not None
                self.sequence.truncate(min(n_computed, len(self.ids)))

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
            self.n_prompt, prefill_s, self.n_decode, decode_s, self.n_reused or 0,
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
