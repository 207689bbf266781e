"""A request for text: its detokenizer, its stops, and what of it may be shown."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from halfbyte.engine.engine import Span
from halfbyte.generation.completion import Completion, FinishReason
from halfbyte.generation.params import SamplingParams
from halfbyte.generation.request import Continuation
from halfbyte.generation.respelling import Respelling
from halfbyte.generation.sampler import F32, Sampler
from halfbyte.generation.speculation.drafter import Drafter
from halfbyte.tokenizer import Tokenizer
from halfbyte.tokenizer.detokenizer import StreamDetokenizer

log = logging.getLogger(__name__)


class TextRequest(Continuation):
    """A prompt and the text that follows it.

    The tokens of a respelling are no stops, and those that only spell what was taken back do not
    count as an answer.

    Attributes:
        text: what may be shown; a possible beginning of a stop string is held back.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        prompt: Sequence[int],
        params: SamplingParams,
        n_ctx: int,
        *,
        taken_back: Sequence[int] = (),
        stop_ids: frozenset[int] = frozenset(),
        finish: Callable[[Completion], Any] = lambda done: done,
        drafter: Drafter | None = None,
    ) -> None:
        """A request at its beginning.

        Args:
            tokenizer: whose ids they are.
            prompt: what the model sees first.
            params: how to choose the next token, and when to stop.
            n_ctx: most tokens of prompt and answer together.
            taken_back: the ids that followed, whose text the answer has to spell again.
            stop_ids: end it besides the tokenizer's and the caller's.
            finish: makes what the caller gets of its completion.
            drafter: guesses the answer.
        """
        self.params, self._result_of = params.seeded(), finish
        text = b"".join(map(tokenizer.token_bytes, taken_back))
        self._sampler = Sampler(self.params, tokenizer.n_vocab, prompt)
        respelling = Respelling(tokenizer, self._sampler, text, taken_back) if text else None
        super().__init__(prompt, n_ctx, respelling, drafter)
        self.text = self._held = ""
        self._detokenizer = StreamDetokenizer(tokenizer, skip_nbytes=len(text))
        self._stop_tokens = tokenizer.eog_ids | stop_ids | frozenset(params.stop_tokens)
        self._n_respelled = 0
        if not params.max_tokens:
            self.finish_reason = "length"

    @property
    def n_max(self) -> int:
        """Most tokens that can come."""
        return min(self.params.max_tokens, self.n_ctx - self.n_prompt)

    def n_draftable(self, spans: Sequence[Span]) -> int:
        """How many guesses can be verified behind these spans; the last token needs none."""
        n_left = self.params.max_tokens - (self.n_generated - self._n_respelled)
        return min(super().n_draftable(spans), n_left - 1)

    def sample(self, logits: F32) -> int:
        """The next token; not taken yet."""
        return self._sampler.sample(logits)

    def accept(self, token: int) -> None:
        """Take a token: text, stops, limits."""
        if self.respelling is not None and self.n_generated < len(self.respelling.tokens):
            self._n_respelled += int(self._detokenizer.skips(token))
        elif token in self._stop_tokens:
            self._finish("stop")
            return
        self.ids.append(token)
        self._sampler.accept(token)
        self._take_text(self._detokenizer.push(token))
        if self.finish_reason:
            return
        if self.n_generated - self._n_respelled >= self.params.max_tokens:
            log.info("the answer ends at max_tokens=%d", self.params.max_tokens)
            self._finish("length")
        elif len(self.ids) >= self.n_ctx:
            log.warning("the context of %d tokens is full: the answer ends there", self.n_ctx)
            self._finish("context")

    def result(self, cut_by: FinishReason | None = None) -> Any:
        """The completion as the caller wants it; of one that is cut short, what there is."""
        completion = Completion(
            text=self.text,
            tokens=self.tokens,
            finish_reason=self.finish_reason or cut_by or "stop",
            stats=self.stats(),
            healed=self.respelling.text.decode(errors="replace") if self.respelling else "",
            seed=None if self.params.is_greedy else self.params.seed,
        )
        return self._result_of(completion)

    def _take_text(self, piece: str) -> None:
        text = self._held + piece
        cut = min((at for stop in self.params.stop if (at := text.find(stop)) >= 0), default=-1)
        if cut >= 0:
            self.text += text[:cut]
            self._held = ""
            self.finish_reason = "stop"
            return
        n_held = max((_overlap(text, stop) for stop in self.params.stop), default=0)
        self.text += text[: len(text) - n_held]
        self._held = text[len(text) - n_held :]

    def _finish(self, reason: FinishReason) -> None:
        self._take_text(self._detokenizer.flush())
        self.text += self._held
        self._held = ""
        self.finish_reason = self.finish_reason or reason


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that begins `stop`."""
    for n in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:n]):
            return n
    return 0
