"""One answer of `generate`, token by token."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from halfbyte.generation.continuation import Continuation
from halfbyte.generation.sampler import F32, Sampler
from halfbyte.generation.speculation.drafter import Drafter
from halfbyte.hf.endings import Endings
from halfbyte.hf.processors.processing import Processing
from halfbyte.hf.processors.processor_list import normalized

log = logging.getLogger(__name__)


class Kept:
    """Scores and logits of an answer's tokens, where they are wanted.

    Args:
        scores: whether to keep what tokens are chosen by, once all is processed.
        logits: whether to keep what the model says.
        temperature: what divides scores; None where nothing is drawn.
        is_normalized: whether scores are made logarithms of probabilities.
    """

    def __init__(
        self, *, scores: bool, logits: bool, temperature: float | None, is_normalized: bool
    ) -> None:
        self.scores: list[F32] | None = [] if scores else None
        self.logits: list[F32] | None = [] if logits else None
        self._temperature, self._is_normalized = temperature, is_normalized

    def take(self, logits: F32, row: F32, sampler: Sampler) -> None:
        """Keep those of a token that was just chosen."""
        if self.logits is not None:
            self.logits.append(logits.copy())
        if self.scores is not None:
            made = self._drawn_from(row, sampler)
            self.scores.append(normalized(made) if self._is_normalized else made)

    def _drawn_from(self, row: F32, sampler: Sampler) -> F32:
        if self._temperature is None or sampler.drawn_from is None:
            return row.copy()
        tempered: F32 = row / np.float32(self._temperature)
        ids, _ = sampler.drawn_from
        if ids is None:
            return tempered
        made = np.full_like(row, -np.inf)
        made[ids] = tempered[ids]
        return made


class Row(Continuation):
    """One answer on its way: a request that keeps every token.

    Attributes:
        n_max: tokens that the answer has at most.
        kept: scores and logits of its tokens.
    """

    def __init__(
        self,
        prompt: Sequence[int],
        n_ctx: int,
        *,
        sampler: Sampler,
        endings: Endings,
        n_max: int,
        kept: Kept,
        processing: Processing | None = None,
        drafter: Drafter | None = None,
    ) -> None:
        super().__init__(prompt, n_ctx, None, drafter)  # ids are never taken back
        self.n_max, self.kept = n_max, kept
        self._sampler, self._endings, self._processing = sampler, endings, processing

    @property
    def n_left(self) -> int:
        """Most tokens that can still come."""
        return min(super().n_left, self.n_max - self.n_generated)

    def sample(self, logits: F32) -> int:
        """The next token; not taken yet."""
        row = logits
        if self._processing is not None:
            row = logits.copy()
            self._processing.change(row)
        token = self._sampler.sample(row)
        self.kept.take(logits, row, self._sampler)
        return token

    def accept(self, token: int) -> None:
        """Take a token, and see whether it ends the answer."""
        self.ids.append(token)
        self._sampler.accept(token)
        is_done = self._endings.reached(self.ids)
        if self._processing is not None:
            self._processing.accept(token)
            is_done |= self._endings.met(self._processing.ids, self.kept.scores)
        if is_done:
            self.finish_reason = "stop"
        elif self.n_generated >= self.n_max:
            self.finish_reason = "length"
        elif len(self.ids) >= self.n_ctx:
            self.finish_reason = "context"
            log.warning("the context of %d tokens is full: the answer ends there", self.n_ctx)
