"""A request: one sequence of tokens on its way through the model.

There is no phase of prefill and none of decode. A request has `ids`, its prompt and what was
generated, and a sequence of which the first ones are computed; it catches up with its ids. A
prompt's chunks, the one new token of an answer, what a remembered prompt spares and what is
computed again after its memory was needed elsewhere are all the same: ids that are not computed.

A request is made in its caller's thread and is the scheduler's from `submit` on; the caller then
reads it, and may set `is_cancelled`.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Collection, Hashable, Sequence
from typing import Any, Literal, Protocol

from halfbyte.cache_scope import current_scope
from halfbyte.engine.adapter_weights import Applied
from halfbyte.engine.engine import Span
from halfbyte.engine.finite import check_finite
from halfbyte.engine.sequence import Sequence as EngineSequence
from halfbyte.generation.adaptation import key_of
from halfbyte.generation.completion import FinishReason
from halfbyte.generation.mismatch import Mismatch
from halfbyte.generation.sampler import F32
from halfbyte.generation.shared_prompt import SharedPrompt
from halfbyte.generation.terms import Terms
from halfbyte.lazy_dataclass import dataclass

_SHORT = 64  # tokens that an answer on its way need not stand in line for: a round of any search


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

    def ring(self) -> None:
        """Whoever waits is to look at what was told; called once a step, behind all of that."""


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
        sequence: what is computed of them; None where nothing is.
        finish_reason: empty until it is finished.
        error: what ended it instead.
        is_answering: whether its prompt is done, and tokens come.
        is_cancelled: whether its caller has lost interest; set from any thread.
        is_over: set last: nothing will come of it any more.
        call: whoever waits for it, until it is over.
        tag: its place in line.
        is_remembered: whether what was processed before may stand in for its beginning.
        adapters: what its tokens go through; None: whatever all do that do not say.
        scope: whom what is remembered of it belongs to (cache_scope.py).
        adapter: tells what was processed with them in that scope from the rest; None for the model
            alone and no scope.
        n_reused: how many of the prompt's tokens were known; None before it has begun.
        mismatch: where it leaves a remembered prompt for a short part only.
        n_told: of how many of the prompt's tokens the caller knows that they are computed.
        n_kept: how many of its ids were computed when it was last remembered.
        n_due: tokens that its place in line counts on and that were not computed yet.
        shared: the beginning that it shares with others of its call; None for none.
        ends: ids that end a turn of its prompt.
        places: positions at which its steps end, ascending (snapshot_places.py).
        likely: positions at which other prompts may part from it, where steps need not end there.
        slice_begin, n_again: how many ids it had when it last began to run, and of how many of an
            answer's there was nothing computed any more.
        entered: which one of those that entered the line it was, when it last did.
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
        self.scope = current_scope()
        self.adapter: Hashable = key_of((), self.scope)
        self.n_reused: int | None = None
        self.mismatch: Mismatch | None = None
        self.n_told = self.n_kept = self.n_due = self.entered = self.slice_begin = self.n_again = 0
        self.shared: SharedPrompt[Request] | None = None
        self.ends: Collection[int] = ()
        self.places: Sequence[int] = ()
        self.likely: Sequence[int] = ()

    @property
    def prompt(self) -> list[int]:
        """What the model sees first."""
        return self.ids[: self.n_prompt]

    @property
    def recallable(self) -> list[int]:
        """The first ids, of which all but the last may be remembered instead of computed."""
        return self.ids

    @property
    def n_said(self) -> int:
        """The prompt's tokens, and how many have come since."""
        return len(self.ids)

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
        return self.is_answering and self.sequence is not None and self.n_wanted <= _SHORT

    @property
    def is_guessed(self) -> bool:
        """Whether anything guesses what comes next."""
        return False

    @property
    def needs_work(self) -> bool:
        """Whether it is to be computed at all."""
        return not (self.finish_reason or self.error is not None or self.is_cancelled)

    def end_early(self, reason: FinishReason) -> None:
        """End with what there is, unless it has ended; nothing comes of it any more."""
        self.finish_reason = self.finish_reason or reason

    def fail(self, error: BaseException) -> None:
        """End with an error, unless there is one."""
        if self.error is None:
            # Each caller raises his own: a traceback grows where an error is raised.
            self.error = copy.copy(error)
            self.error.__cause__ = error.__cause__

    def go_through(self, adapters: Sequence[Applied]) -> None:
        """Have the tokens processed with these; before it has begun."""
        self.adapters, self.adapter = adapters, key_of(adapters, self.scope)

    def spans(self, n_max: int) -> list[Span]:
        """What it wants of the next step, n_max tokens at most; may be nothing.

        Raises:
            EngineError: there is no memory for it.
        """
        assert self.sequence is not None
        begin = self.n_computed
        end = min(begin + n_max, len(self.ids))
        end = next((place for place in self.places if begin < place < end), end)
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
