"""A smaller model that guesses what an answer says next.

Of each request it has a sequence of its own, which catches up with the request's ids as the
request's own sequence does: ids that are not computed. The guesses for all requests of a step are
made together, a step of the draft model for each guess more. Where its states cannot be cut back,
it returns to where it began to guess, and sees again what came true, with what came. Its engine
computes on the threads of the model that it guesses for, in the same thread of Python, so that
never both compute.

What it remembers and holds is for guesses alone, and is given back as soon as memory is short.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import field
from typing import TYPE_CHECKING

import numpy as np

from halfbyte.engine.engine import F32, Engine, Span, StepAborted
from halfbyte.engine.finite import check_finite
from halfbyte.engine.recurrent_state import RecurrentState
from halfbyte.engine.sequence import Sequence as EngineSequence
from halfbyte.engine.stage_words import Words
from halfbyte.generation.prefix_cache import PrefixCache
from halfbyte.generation.speculation.drafter import Draft
from halfbyte.generation.speculation.step_costs import StepCosts
from halfbyte.generation.speculation.sureness import Sureness
from halfbyte.kernels.layouts.kv_pages import PAGE
from halfbyte.lazy_dataclass import dataclass

if TYPE_CHECKING:
    from halfbyte.generation.continuation import Continuation
    from halfbyte.generation.request import Request

_USUAL_NBYTES = 64 << 20
FULL_ROWS = 64  # of a step, from which on a row costs what a prompt's does


@dataclass(slots=True, eq=False)
class Shadow:
    """What the draft model has of a request.

    Attributes:
        sequence: the ids that it has seen, and then guesses.
        certain: positions before and behind the step that gave the first guess, and what cannot be
            cut back as it was there.
        sureness: how often they were right.
        begin: of the latest guesses among the ids.
        guesses, probabilities: these, and how sure it was.
        n_tried: how many of them the step has verified.
        n_checked: ids that it knows, of the first ones.
        n_puts: remembered sequences when this one began.
        lead: ids that it has seen, or done without, beside those of the sequence's positions.
        keeps_guesses: whether guesses that came true stay as they are.
    """

    sequence: EngineSequence
    sureness: Sureness
    certain: list[tuple[int, RecurrentState]] = field(default_factory=list)
    begin: int = 0
    guesses: list[int] = field(default_factory=list)
    probabilities: list[float] = field(default_factory=list)
    n_tried: int = 0
    n_checked: int = 0
    n_puts: int = 0
    lead: int = 0
    keeps_guesses: bool = True

    @property
    def n_seen(self) -> int:
        """How many ids it has seen."""
        return self.sequence.n_past + self.lead

    def settle(self, ids: Sequence[int]) -> int:
        """See which guesses came true, and forget what the others have left.

        Returns: how many steps they have spared.

        Raises:
            EngineError: there is no memory for a copy of a page.
        """
        n_right = 0
        came = ids[self.begin : self.begin + len(self.guesses)]
        for guess, probability, token in zip(self.guesses, self.probabilities, came, strict=False):
            self.sureness.learn(probability, guess == token)
            if guess != token:
                break
            n_right += 1
        n_kept = self.begin + n_right * self.keeps_guesses
        n_kept = min(n_kept, len(ids) - 1)  # the last one's logits are to be had
        if self.guesses and self.n_seen > n_kept:
            self._cut_back(n_kept - self.lead)
        n_spared, self.n_tried = min(n_right, self.n_tried), 0
        self.guesses, self.probabilities = [], []
        return n_spared

    def note_certain(self) -> None:
        """It may have to return to here."""
        for state in self.sequence.states:
            if isinstance(state, RecurrentState):
                n_past = self.sequence.n_past
                self.certain.append((n_past, state.fork(n_past)))

    def _cut_back(self, n: int) -> None:
        """Forget all from n on, and before that what cannot be kept."""
        if n >= self.sequence.first_cut:
            self.sequence.truncate(n)
            return
        at, state = max((one for one in self.certain if one[0] <= n), default=(0, None))
        if state is None:  # layers with windows have let go of what is before so many guesses
            self.sequence = self.sequence.fork(0)
        else:
            self.sequence = EngineSequence(self.sequence.kv.cut(at), state, n_past=at)

    def knows(self, ids: Sequence[int], n_vocab: int) -> bool:
        """Whether all ids are below."""
        new = ids[self.n_checked :]
        if new and max(new) < n_vocab:
            self.n_checked += len(new)
        return self.n_checked == len(ids)


@dataclass(frozen=True, slots=True)
class Wish:
    """A request that is to be guessed for: at most so many ids, after so many to catch up with."""

    request: Continuation
    shadow: Shadow
    n_rows: int
    n_most: int


class DraftModel:
    """The draft model of one engine, for the thread that owns both.

    Args:
        engine: its own, on the threads of the other.
        of: the engine that it guesses for.
        cache_nbytes: of sequences remembered for requests that begin alike.
        available: bytes of memory that the machine has left; None where it does not tell.

    Attributes:
        engine: as given.
        costs: seconds of its steps.
        n_ctx: most ids of a sequence.
        share: the weights that a step reads, as a part of the other's.
        n_spared: steps that its guesses have spared.
        lead: ids before the one of a sequence's first position.
    """

    lead = 0

    def __init__(
        self,
        engine: Engine,
        of: Engine,
        cache_nbytes: int = 0,
        available: Callable[[], int | None] = lambda: None,
    ) -> None:
        self.engine, self._available = engine, available
        self._n_vocab = self._n_ids = min(of.config.vocab_size, engine.config.vocab_size)
        self.share = engine.nbytes_per_token / of.nbytes_per_token
        self._cache = PrefixCache(engine.pages, cache_nbytes)
        self._n_puts, self._spent_s = 0, 0.0
        self._shadows: dict[Continuation, Shadow] = {}
        self._sureness = Sureness()
        self.costs, self.n_ctx, self.n_spared = StepCosts(), engine.n_ctx, 0

    @classmethod
    def of(cls, engine: Engine, of: Engine, available: Callable[[], int | None]) -> DraftModel:
        """One that remembers a sequence as long as its context, or 64 MiB."""
        nbytes = max(engine.layout.nbytes(engine.n_ctx), _USUAL_NBYTES)
        return cls(engine, of, nbytes, available)

    @property
    def name(self) -> str:
        """Of its model."""
        return self.engine.config.name

    def shadow_of(self, request: Continuation) -> Shadow | None:
        """What it has of a request, up to date; None where it cannot follow.

        Raises:
            EngineError: there is no memory for it.
        """
        shadow, ids = self._shadows.get(request), request.ids
        if shadow is None:
            shadow = self._shadows[request] = self._new_shadow(request)
            self._bound_pages()
        self.n_spared += shadow.settle(ids)
        if shadow.n_puts != self._n_puts and len(ids) - shadow.n_seen > PAGE:
            known = self._known(request)  # another request may have had the same prompt
            shadow.n_puts = self._n_puts
            if known.n_past + self.lead > shadow.n_seen:
                shadow.sequence, shadow.lead = known, self.lead
        return shadow if len(ids) < self.n_ctx and shadow.knows(ids, self._n_ids) else None

    def guess(
        self, wishes: Sequence[Wish], goes_on: Callable[[float, int], bool], abort: Words
    ) -> dict[Continuation, Draft]:
        """Guesses by request; of one that has not caught up, none.

        Args:
            wishes: MAX_BATCH rows at most.
            goes_on: whether another guess is worth a step in which so many others are made, after
                some that are right with this chance.
            abort: as for `Engine.forward`.

        Raises:
            EngineError: its step has failed.
        """
        drafts: dict[Continuation, Draft] = {}
        chances: dict[Continuation, float] = {}
        active = list(wishes)
        try:
            while active:
                active = [w for w in self._round(active, abort) if self._note(w, drafts, chances)]
                active = [w for w in active if goes_on(chances[w.request], len(active))]
        except StepAborted:
            return {}
        return drafts

    def take_spent(self) -> float:
        """Seconds of its steps since the last call."""
        seconds, self._spent_s = self._spent_s, 0.0
        return seconds

    def see(self, parts: Iterable[tuple[Request, Sequence[Span]]]) -> None:
        """The model has run a step of these; nothing of it is needed."""

    def keep_up(self, is_worth: Callable[[Continuation, int], bool], abort: Words) -> None:
        """Go on with what was seen, where so many rows of a request are worth it; raises as guess.

        Nothing was.
        """

    def note_tried(self, request: Continuation, n: int) -> None:
        """So many of its latest guesses are verified."""
        self._shadows[request].n_tried = n

    def forget(self, request: Continuation) -> None:
        """A request is over, or waits; raises EngineError where there is no memory."""
        shadow = self._shadows.pop(request, None)
        if shadow is not None and request.drafter is not None:  # else ids were taken back
            self.n_spared += shadow.settle(request.ids)
            self._remember(request, shadow)

    def give_back(self) -> bool:
        """Free all pages; whether there were any."""
        had_some = bool(self._shadows) or self.engine.pages.nbytes > 0
        self._shadows.clear()
        self._cache.clear()
        return had_some

    def _round(self, wishes: Sequence[Wish], abort: Words) -> list[Wish]:
        """The next guess of each; those that have one."""
        spans = [self._span(wish) for wish in wishes]
        n_rows = sum(len(span.tokens) for span in spans)
        begin_s = time.perf_counter()
        logits = self._forward(wishes, spans, abort)
        self._learn(n_rows, time.perf_counter() - begin_s)
        check_finite(logits, 0)
        made = [wish for wish, span in zip(wishes, spans, strict=True) if span.n_out]
        for wish, row in zip(made, logits, strict=True):
            known = row[: self._n_vocab]
            guess = int(known.argmax())
            wish.shadow.guesses.append(guess)
            wish.shadow.probabilities.append(float(1 / np.exp(known - known[guess]).sum()))
            if len(wish.shadow.guesses) == 1:
                wish.shadow.note_certain()
        for wish in wishes:
            if wish.n_rows >= PAGE and len(wish.shadow.guesses) <= 1:  # a prompt, or a part of one
                self._remember(wish.request, wish.shadow)
        return made

    def _forward(self, wishes: Sequence[Wish], spans: Sequence[Span], abort: Words) -> F32:
        """Its step of a span a wish: the logits that they ask for."""
        return self.engine.forward(spans, abort)

    def _learn(self, n_rows: int, seconds: float) -> None:
        self.costs.learn(n_rows, seconds)
        self._spent_s += seconds
        if n_rows >= FULL_ROWS:
            self.costs.learn_prompt(n_rows, seconds)

    def _span(self, wish: Wish) -> Span:
        shadow, ids = wish.shadow, wish.request.ids
        if shadow.guesses:
            return Span(shadow.sequence, shadow.guesses[-1:], n_out=1)
        n_seen = shadow.n_seen
        tokens = ids[n_seen : n_seen + wish.n_rows]
        shadow.begin, shadow.certain = len(ids), []
        shadow.note_certain()
        return Span(shadow.sequence, tokens, n_out=int(n_seen + len(tokens) == len(ids)))

    def _note(
        self, wish: Wish, drafts: dict[Continuation, Draft], chances: dict[Continuation, float]
    ) -> bool:
        """Add a wish's latest guess to its draft; whether there may be another."""
        shadow, request = wish.shadow, wish.request
        draft = drafts.setdefault(request, Draft([], []))
        draft.ids.append(shadow.guesses[-1])
        draft.chances.append(shadow.sureness.chance(shadow.probabilities[-1]))
        chances[request] = chances.get(request, 1.0) * draft.chances[-1]
        return len(draft.ids) < wish.n_most

    def _new_shadow(self, request: Continuation) -> Shadow:
        known, sureness = self._known(request), Sureness(self._sureness)
        return Shadow(known, sureness, n_puts=self._n_puts, lead=self.lead)

    def _known(self, request: Continuation) -> EngineSequence:
        if not self._cache.max_nbytes:
            return self.engine.new_sequence()
        return self._cache.match(request.ids[self.lead :], request.scope).sequence

    def _remember(self, request: Continuation, shadow: Shadow) -> None:
        is_whole = shadow.lead == self.lead and shadow.n_seen <= len(request.ids)
        if self._cache.max_nbytes and is_whole:
            self._cache.put(request.ids[self.lead :], shadow.sequence, request.scope)
            self._n_puts += 1

    def _bound_pages(self) -> None:
        """Take half of the memory that is left at most."""
        available = self._available()
        if available is not None:
            self.engine.pages.max_nbytes = self.engine.pages.nbytes + available // 2
