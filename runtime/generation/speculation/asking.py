"""When a draft model is asked, for whom, and how far.

It is asked where its steps and the rows that verify its guesses are expected to give more tokens a
second than steps without. Before the first guess it has to see the prompt, which pays only in a
long enough answer: that is done once what guesses would have gained in the answer so far, and what
is left of earlier gains, pay for it. Where nothing is gained, it is tried again for half a percent
of the time.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from halfbyte.engine.buffers import MAX_BATCH
from halfbyte.engine.engine import Span, StepAborted
from halfbyte.engine.memory import needed_for
from halfbyte.engine.stage_words import Words
from halfbyte.errors import EngineError
from halfbyte.generation.continuation import Continuation
from halfbyte.generation.request import Request
from halfbyte.generation.speculation.credit import Credit
from halfbyte.generation.speculation.draft_model import FULL_ROWS, DraftModel, Shadow, Wish
from halfbyte.generation.speculation.drafter import Draft
from halfbyte.generation.speculation.planned import GAIN, Planned
from halfbyte.lazy_dataclass import dataclass

log = logging.getLogger(__name__)

_N_MOST = 16  # guesses at a time
_MOST_LOST = 4.0  # steps, by guesses that were expected to pay
_REST = 500  # steps in which it is not asked after an error
_LEAST_ROWS = 8  # of a prompt that are worth a step


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that guesses can be verified for.

    Attributes:
        n_left: tokens that may still be guessed of it.
        known_chance: that the next token is what a text says, where one says anything.
    """

    request: Continuation
    n_left: int
    known_chance: float


@dataclass(frozen=True, slots=True)
class _Candidate:
    asked: Asked
    shadow: Shadow

    @property
    def n_behind(self) -> int:
        return len(self.asked.request.ids) - self.shadow.n_seen

    @property
    def credit(self) -> Credit:
        assert self.asked.request.drafter is not None
        return self.asked.request.drafter.credit

    def wish(self, n_rows: int, n_most: int) -> Wish:
        return Wish(self.asked.request, self.shadow, n_rows, min(n_most, self.asked.n_left))


class Asking:
    """Asks one draft model.

    Attributes:
        credit: what may be lost on prompts, and on trying again.
        guessing: what guesses have gained; below -_MOST_LOST, the estimates are not believed.
    """

    def __init__(self, model: DraftModel) -> None:
        self.credit, self.guessing = Credit(), Credit()
        self._model = model
        self._n_rest = 0
        self._gain, self._plain_s = 1.0, math.inf  # of guessing, and a step, as they were lately

    def see(self, parts: Iterable[tuple[Request, Sequence[Span]]]) -> None:
        """The model has run a step of these."""
        if self._n_rest:
            return
        try:
            with needed_for("guessing"):
                self._model.see(parts)
        except EngineError as error:
            self._give_up(error)

    def keep_up(self, abort: Words) -> None:
        """Have what was seen read, before there is too much of it."""
        try:
            with needed_for("guessing"):
                self._model.keep_up(self._is_worth_reading, abort)
        except StepAborted:
            pass
        except EngineError as error:
            self._give_up(error)

    def drafts(
        self, asked: Sequence[Asked], step: Planned, abort: Words
    ) -> dict[Continuation, Draft]:
        """Its guesses by request; the seconds are spent of the step's."""
        if self._n_rest:
            self._n_rest -= 1
            return {}
        try:
            with needed_for("guessing"):
                return self._drafts(asked, step, abort)
        except EngineError as error:
            self._give_up(error)
            return {}

    def try_out(self, request: Continuation, n: int, n_steps: float) -> None:
        """So many of its guesses are verified, at the cost of so many steps."""
        self.credit.pay(n_steps)
        self.guessing.pay(n_steps)
        self._model.note_tried(request, n)

    def end(self, request: Continuation) -> None:
        """A request is over, or waits."""
        try:
            with needed_for("remembering a prompt for guesses"):
                self._model.forget(request)
        except EngineError as error:
            self._give_up(error)

    def give_back(self) -> bool:
        """Free all memory for a while; whether there was any."""
        self._n_rest = _REST
        had_some = self._model.give_back()
        if had_some:
            log.info("what the draft model holds is given back")
        return had_some

    def _give_up(self, error: EngineError) -> None:
        log.warning("answers go on without the draft model for a while: %s", error)
        self.give_back()

    def _drafts(
        self, asked: Sequence[Asked], step: Planned, abort: Words
    ) -> dict[Continuation, Draft]:
        candidates = [c for c in map(self._candidate, asked) if c is not None]
        self.credit.settle(self._model.n_spared)
        self.guessing.settle(self._model.n_spared)
        if not candidates:
            return {}
        if not self._model.costs.is_known:  # before the first step, by the weights that it reads
            self._model.costs.learn(1, step.plain_s * self._model.share)
        mean = sum(c.shadow.sureness.mean for c in candidates) / len(candidates)
        outlook = self._outlook(step, len(candidates), mean)
        self._gain, self._plain_s = outlook - 1, step.plain_s
        if outlook <= GAIN or self.guessing.n_steps < -_MOST_LOST:
            return self._probe(candidates, step, abort)
        ready = self._ready(candidates, step)
        late = self._late(candidates, step, outlook - 1, ready)
        rate, row_s = outlook * step.n_tokens / step.plain_s, step.more_s(_N_MOST) / _N_MOST

        def goes_on(chance: float, n: int) -> bool:
            """Whether a guess more is worth its share of the draft model's step, and its row."""
            return chance * mean > (self._seconds(n) / n + row_s) * rate

        drafts = self._model.guess([*ready, *late], goes_on, abort)
        self._pay(ready, late, step)
        return drafts

    def _is_worth_reading(self, request: Continuation, n_rows: int) -> bool:
        """Whether guesses may pay for so many rows, each of which costs a layer of the model."""
        if self.guessing.n_steps < -_MOST_LOST:
            return False
        if not self._model.costs.is_known:
            return request.n_left >= _N_MOST
        return self._seconds(n_rows) <= self._gain * request.n_left * self._plain_s

    def _candidate(self, asked: Asked) -> _Candidate | None:
        """None where a text's guess is surer, or it cannot follow."""
        drafter = asked.request.drafter
        if drafter is None or not drafter.asks_model or asked.n_left <= 0:
            return None
        shadow = self._model.shadow_of(asked.request)
        if shadow is None or asked.known_chance >= shadow.sureness.mean:
            return None
        n_left = min(asked.n_left, self._model.n_ctx - len(asked.request.ids))
        return _Candidate(replace(asked, n_left=n_left), shadow)

    def _outlook(self, step: Planned, n: int, mean: float) -> float:
        """How many times as fast it is to guess for so many, once it has caught up with them."""
        round_s, plain_rate = self._seconds(n), step.n_tokens / step.plain_s
        best, n_tokens, chance = 0.0, step.n_tokens, 1.0
        for length in range(1, min(_N_MOST, step.room // n) + 1):
            chance *= mean
            n_tokens += n * chance
            seconds = step.plain_s + step.more_s(n * length) + length * round_s
            best = max(best, n_tokens / seconds / plain_rate)
        return best

    def _ready(self, candidates: Sequence[_Candidate], step: Planned) -> list[Wish]:
        """Those that it can guess for in this step, within what each may lose."""
        chosen = [
            c for c in candidates if c.n_behind <= FULL_ROWS
            and self._seconds(c.n_behind) + step.more_s(1) <= c.credit.n_steps * step.plain_s
        ][: MAX_BATCH // FULL_ROWS]  # fmt: skip
        if not chosen:
            return []
        n = len(chosen)
        first_s = self._seconds(sum(c.n_behind for c in chosen))
        round_s = self._seconds(n)
        most_s = min(step.extra_s, min(c.credit.n_steps for c in chosen) * n * step.plain_s)
        length = 0
        for tried in range(1, min(_N_MOST, step.room // n) + 1):
            if first_s + (tried - 1) * round_s + step.more_s(n * tried) <= most_s:
                length = tried
        return [c.wish(c.n_behind, length) for c in chosen] if length else []

    def _late(
        self, candidates: Sequence[_Candidate], step: Planned, gain: float, ready: Sequence[Wish]
    ) -> list[Wish]:
        """One that it has to see more of first, if that pays, and how much of it now."""
        for c in candidates:
            n_behind = c.n_behind
            if n_behind <= FULL_ROWS:
                continue
            whole = n_behind * self._seconds(MAX_BATCH) / MAX_BATCH / step.plain_s
            n_sure = min(c.asked.request.n_generated, c.asked.n_left)
            if whole > self.credit.n_steps + gain * n_sure:
                continue
            n = min(n_behind, MAX_BATCH - sum(wish.n_rows for wish in ready))
            while n >= _LEAST_ROWS and self._seconds(n) > step.extra_s:
                n //= 2
            if n >= _LEAST_ROWS:
                return [c.wish(n, 1)]
        return []

    def _probe(
        self, candidates: Sequence[_Candidate], step: Planned, abort: Words
    ) -> dict[Continuation, Draft]:
        """A single guess for the one that costs least, where that may be lost."""
        c = min(candidates, key=lambda c: c.n_behind)
        most_s = min(self.credit.n_steps * step.plain_s, step.extra_s)
        if c.n_behind > MAX_BATCH or self._seconds(c.n_behind) > most_s:
            return {}
        drafts = self._model.guess([c.wish(c.n_behind, 1)], lambda *_: False, abort)
        self._pay([], [], step)
        return drafts

    def _pay(self, ready: Sequence[Wish], late: Sequence[Wish], step: Planned) -> None:
        """All is paid in common; requests that were ready pay for their guesses, too."""
        seconds, plain_s = self._model.take_spent(), step.plain_s
        step.spend(seconds)
        self.credit.pay(seconds / plain_s)
        late_s = sum(self._seconds(wish.n_rows) for wish in late)
        n_steps = max(seconds - late_s, 0.0) / plain_s if ready else 0.0
        self.guessing.pay(n_steps)
        for wish in ready:
            assert wish.request.drafter is not None
            wish.request.drafter.credit.pay(n_steps / len(ready))

    def _seconds(self, n_rows: int) -> float:
        """What a step of the draft model takes."""
        return self._model.costs.seconds(n_rows)
