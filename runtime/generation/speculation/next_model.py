"""A model's own layer that guesses a token further ahead (families/next_layer.py).

It is a draft model of one layer, which takes the states that the model's steps end with: that of
position i together with id i + 1, for a guess of id i + 2, and then its own. So it has a position
less of a request than the model. States are there when a step has run, and are kept until they are
read: for an answer's next guess; for a prompt in chunks, right behind the steps that computed them,
since a layer costs a small part of a model.

What the model took from its memory has no states. Where the layer remembers none of that either, it
guesses without: a few positions are read with states of zeros, more are left out of its context.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeGuard

import numpy as np

from halfbyte.engine.buffers import MAX_BATCH
from halfbyte.engine.engine import F32, Engine, Span
from halfbyte.engine.next_weights import last_norm
from halfbyte.engine.stage_words import Words
from halfbyte.generation.continuation import Continuation
from halfbyte.generation.speculation.draft_model import DraftModel, Shadow, Wish
from halfbyte.generation.speculation.trail import Trail

if TYPE_CHECKING:
    from halfbyte.generation.request import Request

_MOST_WAITING = 32  # states that wait for a guess, before they are read by themselves
_MOST_MISSING = 16  # states for which there are zeros


class NextModel(DraftModel):
    """The layer of one engine that guesses for it; see DraftModel."""

    lead = 1  # a position's state goes with the id behind it

    def __init__(
        self,
        engine: Engine,
        of: Engine,
        cache_nbytes: int = 0,
        available: Callable[[], int | None] = lambda: None,
    ) -> None:
        super().__init__(engine, of, cache_nbytes, available)
        self._n_ids, self._of, self._dim = of.config.vocab_size, of, of.config.dim
        self._norms = {one: last_norm(one.weights, self._dim) for one in (of, engine)}
        self._trails: dict[Continuation, Trail] = {}
        self._never: Words = np.zeros(1, np.int64)

    @property
    def name(self) -> str:
        """It has none."""
        return "of its own"

    def see(self, parts: Iterable[tuple[Request, Sequence[Span]]]) -> None:
        """Keep the states of a step's rows, whether what was guessed there is right or not."""
        row = 0
        for request, spans in parts:
            for span in spans:
                n = len(span.tokens)
                if _is_guessed(request) and span.sequence is request.sequence:
                    trail = self._trails.setdefault(request, Trail(self._dim))
                    states = self._states(self._of, row, n)
                    trail.put(span.sequence.n_past - n, states)
                row += n

    def keep_up(self, is_worth: Callable[[Continuation, int], bool], abort: Words) -> None:
        """Read the states that wait, where it is worth it; forget most of them, else."""
        for request, trail in list(self._trails.items()):
            if len(trail) <= _MOST_WAITING:
                continue
            shadow = self.shadow_of(request)
            n_waiting = 0 if shadow is None else self._n_waiting(request, shadow)
            if shadow is not None and n_waiting <= _MOST_WAITING:
                trail.forget(self._n_kept(shadow))
            elif shadow is not None and is_worth(request, n_waiting):
                self._read(
                    request, shadow, n_waiting - 1, abort
                )  # the last one's logits are wanted
            else:
                trail.forget(trail.end - _MOST_WAITING)

    def shadow_of(self, request: Continuation) -> Shadow | None:
        """See DraftModel; None where it lacks the latest states."""
        shadow, trail = super().shadow_of(request), self._trails.get(request)
        if shadow is None or trail is None or trail.end < self._n_readable(request):
            return None
        n_missing = trail.begin - (shadow.n_seen - self.lead)
        if n_missing > _MOST_MISSING:
            shadow.lead += n_missing
        return shadow

    def forget(self, request: Continuation) -> None:
        """A request is over, or waits: what is left of it is read, to be remembered."""
        shadow = self._shadows.get(request)
        if shadow is not None and shadow.sequence.n_past and request.drafter is not None:
            known = self.shadow_of(request)
            if known is not None and known.lead == self.lead:
                self._read(request, known, self._n_waiting(request, known), self._never)
        super().forget(request)
        self._trails.pop(request, None)

    def give_back(self) -> bool:
        """Free all pages; whether there were any."""
        self._trails.clear()
        return super().give_back()

    def _new_shadow(self, request: Continuation) -> Shadow:
        shadow = super()._new_shadow(request)
        shadow.keeps_guesses = False  # they were made from its own states
        return shadow

    def _n_readable(self, request: Continuation) -> int:
        """How many positions there are whose next id is known."""
        return min(len(request.ids) - 1, request.n_computed)

    def _n_waiting(self, request: Continuation, shadow: Shadow) -> int:
        """How many of them it has not seen."""
        return self._n_readable(request) - (shadow.n_seen - self.lead)

    def _n_kept(self, shadow: Shadow) -> int:
        """The first position whose state may be asked for again."""
        return shadow.n_seen - self.lead - 1

    def _read(self, request: Continuation, shadow: Shadow, n_rows: int, abort: Words) -> None:
        """See so many states more of a request, without a guess."""
        end = shadow.n_seen + n_rows
        while shadow.n_seen < end:
            tokens = request.ids[shadow.n_seen : end][:MAX_BATCH]
            wish = Wish(request, shadow, len(tokens), 0)
            self._forward([wish], [Span(shadow.sequence, tokens, n_out=0)], abort)
        self._trails[request].forget(self._n_kept(shadow))
        self._remember(request, shadow)

    def _forward(self, wishes: Sequence[Wish], spans: Sequence[Span], abort: Words) -> F32:
        states = [self._taken(wish, span) for wish, span in zip(wishes, spans, strict=True)]
        n_rows = sum(map(len, states))
        self.engine.rows("state", n_rows, self._dim)[:] = np.concatenate(states)
        logits = super()._forward(wishes, spans, abort)
        row = 0
        for wish, span in zip(wishes, spans, strict=True):
            row += len(span.tokens)
            if span.n_out:
                trail = self._trails[wish.request]
                trail.guessed = self._states(self.engine, row - 1, 1)[0]
        return logits

    def _taken(self, wish: Wish, span: Span) -> F32:
        """The states that go with a span's ids."""
        trail, n_seen = self._trails[wish.request], wish.shadow.n_seen
        if wish.shadow.guesses:
            return trail.guessed[None]
        begin = n_seen - self.lead
        return trail.rows(begin, begin + len(span.tokens))

    def _states(self, engine: Engine, row: int, n: int) -> F32:
        """What an engine's last step had in some rows behind its last layer, normed: a copy."""
        x = engine.rows("x", row + n, self._dim)[row:]
        squares = np.mean(np.square(x), axis=1, keepdims=True)
        scale = 1 / np.sqrt(squares + np.float32(engine.config.norm_eps))
        return np.asarray(x * scale * self._norms[engine], np.float32)


def _is_guessed(request: Request) -> TypeGuard[Continuation]:
    """Whether guesses are wanted of it at all."""
    drafter = request.drafter if isinstance(request, Continuation) else None
    return drafter is not None and drafter.asks_model
