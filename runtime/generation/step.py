"""A step: which requests share it, and how much of each."""

from __future__ import annotations

from dataclasses import field

import numpy as np
from numpy.typing import NDArray

from halfbyte.engine.engine import Engine, Span
from halfbyte.engine.memory import empty, needed_for
from halfbyte.generation.continuation import Continuation
from halfbyte.generation.request import Request
from halfbyte.generation.sampler import F32
from halfbyte.lazy_dataclass import dataclass


@dataclass(slots=True, eq=False)
class Step:
    """Spans by request, those of answers first.

    Attributes:
        n_prompt: tokens of prompts among them.
        n_drafted: tokens that are guesses.
        abort: a word that the engine looks at meanwhile.
    """

    parts: list[tuple[Request, list[Span]]] = field(default_factory=list)
    n_prompt: int = 0
    n_drafted: int = 0
    abort: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, np.int64))

    @property
    def spans(self) -> list[Span]:
        """All of them, in order."""
        return [span for _, spans in self.parts for span in spans]

    @property
    def n_tokens(self) -> int:
        """All tokens."""
        return sum(len(span.tokens) for span in self.spans)

    @property
    def is_unwanted(self) -> bool:
        """Whether all of its requests were cancelled."""
        return all(request.is_cancelled for request, _ in self.parts)

    def abort_if_unwanted(self) -> None:
        """End it early if nobody waits for it any more; from any thread."""
        if self.parts and self.is_unwanted:  # an empty one is still to be planned
            self.abort[0] = 1

    def drop_guesses(self) -> bool:
        """Take the guesses out, and free their memory; whether there were any."""
        for i, (request, spans) in enumerate(self.parts):
            if isinstance(request, Continuation) and request.drafted:
                span = request.without_guesses(spans[0])
                span.reserve()  # its own tokens' page was among those
                self.parts[i] = request, [span]
        had_some, self.n_drafted = self.n_drafted > 0, 0
        return had_some

    def run(self, engine: Engine) -> list[F32]:
        """Logits, or hidden states, that each part asks for.

        Raises:
            EngineError: as Engine.forward. StepAborted: `abort` was set.
        """
        all_spans = self.spans
        n_hidden = sum(span.n_out for span in all_spans if span.is_hidden)
        if n_hidden:
            hidden = empty("hidden states", (n_hidden, engine.config.dim), np.float32)
            logits = engine.forward(all_spans, self.abort, hidden)
        else:
            hidden = logits = engine.forward(all_spans, self.abort)
        rows, at = [], [0, 0]
        for _, spans in self.parts:
            n, is_hidden = sum(span.n_out for span in spans), bool(spans[0].is_hidden)
            rows.append((hidden if is_hidden else logits)[at[is_hidden] : at[is_hidden] + n])
            at[is_hidden] += n
        return rows


def give(request: Request, rows: F32) -> None:
    """Have a request take its rows; whatever goes wrong there is its own."""
    try:
        with needed_for("generating"):
            request.take(rows)
    except BaseException as error:
        request.error = error
