"""A request for text: its detokenizer, its stops, and what of it may be shown."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from halfbyte.constraints.matcher import Matcher
from halfbyte.engine.engine import Span
from halfbyte.generation.completion import Completion, FinishReason
from halfbyte.generation.confidence import Confidence
from halfbyte.generation.params import SamplingParams
from halfbyte.generation.request import Continuation
from halfbyte.generation.respelling import Respelling
from halfbyte.generation.rules.grammar_rule import GrammarRule
from halfbyte.generation.rules.rule import Rule, changed
from halfbyte.generation.sampler import F32, Sampler
from halfbyte.generation.shown_text import ShownText
from halfbyte.generation.speculation.drafter import Draft, Drafter
from halfbyte.generation.speculation.pool import Pool
from halfbyte.tokenizer import Tokenizer
from halfbyte.tokenizer.detokenizer import StreamDetokenizer

log = logging.getLogger(__name__)


class TextRequest(Continuation):
    """A prompt and the text that follows it.

    The tokens of a respelling are no stops, and those that only spell what was taken back do not
    count as an answer.
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
        shown: ShownText | None = None,
        confidence: Confidence | None = None,
        finish: Callable[[Completion], Any] = lambda done: done,
        drafter: Drafter | None = None,
        rules: Sequence[Rule] = (),
        matcher: Matcher | None = None,
    ) -> None:
        """A request at its beginning.

        Args:
            tokenizer: whose ids they are.
            prompt: what the model sees first.
            params: how to choose the next token, and when to stop.
            n_ctx: most tokens of prompt and answer together.
            taken_back: the ids that followed, whose text the answer has to spell again.
            stop_ids: end it besides the tokenizer's and the caller's.
            shown: takes the text; by default with the stops of `params`.
            confidence: takes the tokens' probabilities, where they are wanted.
            finish: makes what the caller gets of its completion.
            drafter: guesses the answer.
            rules: change its logits; told of every token, those of a respelling too.
            matcher: where the answer, what was taken back included, is in its grammar.
        """
        self.params, self._result_of = params.seeded(), finish
        text = b"".join(map(tokenizer.token_bytes, taken_back))
        self._sampler = Sampler(self.params, tokenizer.n_vocab, prompt)
        respelling = None
        if text:
            respelling = Respelling(tokenizer, self._sampler, text, taken_back, matcher)
        super().__init__(prompt, n_ctx, respelling, drafter)
        self._shown, self._confidence = shown or ShownText(params.stop), confidence
        self._detokenizer = StreamDetokenizer(tokenizer, skip_nbytes=len(text))
        self._stop_tokens = tokenizer.eog_ids | stop_ids | frozenset(params.stop_tokens)
        self._n_respelled, self._token_bytes = 0, tokenizer.token_bytes
        self._grammar = None if matcher is None else GrammarRule(matcher, self._stop_tokens)
        self._rules = [*rules] if self._grammar is None else [*rules, self._grammar]
        if not params.max_tokens:
            self.finish_reason = "length"
        elif respelling is None:
            self._take_forced()

    @property
    def text(self) -> str:
        """What may be shown; what may be cut still is held back."""
        return self._shown.text

    @property
    def n_max(self) -> int:
        """Most tokens that can come."""
        return min(self.params.max_tokens, self.n_ctx - self.n_prompt)

    def n_draftable(self, spans: Sequence[Span]) -> int:
        """How many guesses can be verified behind these spans; the last token needs none."""
        n_left = self.params.max_tokens - (self.n_generated - self._n_respelled)
        return min(super().n_draftable(spans), n_left - 1)

    def take(self, logits: F32) -> None:
        """Choose the next token, and take those that have to follow: these need no logits."""
        super().take(logits)
        if self.is_answering and (self.respelling is None or self.respelling.tokens):
            n_before = self.n_generated
            self._take_forced()
            self.n_decode += self.n_generated - n_before

    def draft(self, n_most: int, pool: Pool) -> Draft | None:
        """What may follow, and is not forbidden."""
        draft = super().draft(n_most, pool)
        if self._grammar is None:
            return draft
        if self._grammar.forced is not None:
            ids = self._grammar.all_forced()[:n_most]
            return Draft(ids, [1.0] * len(ids))
        return draft and draft.first(self._grammar.n_possible(draft.ids))

    def sample(self, logits: F32) -> int:
        """The next token; not taken yet."""
        if self._grammar is not None and self._confidence is None:
            forced = self._grammar.forced
            if forced is not None:
                return forced
        token = self._choose_token(logits)
        if self._confidence is not None:
            self._confidence.take(logits, token)
            if self._confidence.is_too_low:
                self._finish("confidence")
        return token

    def accept(self, token: int) -> None:
        """Take a token: text, stops, limits."""
        if self.respelling is not None and self.n_generated < len(self.respelling.tokens):
            if not self.n_generated and self._is_doubtful(self.respelling):
                self._finish("confidence")
                return
            self._n_respelled += int(self._detokenizer.skips(token))
        elif token in self._stop_tokens:
            self._finish("stop")
            return
        self.ids.append(token)
        self._sampler.accept(token)
        for rule in self._rules:
            rule.accept(token)
        self._take_text(self._detokenizer.push(token))
        if self.finish_reason:
            return
        if self._grammar is not None and self._grammar.is_over:
            self._finish("stop")
        elif self.n_generated - self._n_respelled >= self.params.max_tokens:
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
            is_complete=None if self._grammar is None else self._grammar.accepts(self.text),
        )
        return self._result_of(completion)

    def _choose_token(self, logits: F32) -> int:
        """What the rules leave and the sampler chooses.

        A mask takes longer than a look at one token. That is enough where the token that is chosen
        without the mask may come: the likeliest of all is the likeliest of those that may; and with
        A the share of these, a token that may come is drawn with p + (1 - A) p / A = p / A.
        """
        if self._grammar is None:
            return self._sampler.sample(changed(logits, self._rules))
        if self._sampler.needs_no_mask:
            token = self._sampler.sample(changed(logits, self._rules[:-1]))
            if self._grammar.allows(token):
                return token
        return self._sampler.sample_finite(changed(logits, self._rules))

    def _take_forced(self) -> None:
        """Take what the grammar has come next, unless somebody wants its logits."""
        if self._grammar is None or self._confidence is not None:
            return
        while not self.finish_reason and (token := self._grammar.forced) is not None:
            self.accept(token)

    def _is_doubtful(self, respelling: Respelling) -> bool:
        """Whether what it wrote beyond the text that was taken back is not likely enough."""
        n_nbytes = sum(len(self._token_bytes(token)) for token in respelling.tokens)
        if self._confidence is None or n_nbytes <= len(respelling.text):
            return False
        self._confidence.take_share(respelling.log_share)
        return self._confidence.is_too_low

    def _take_text(self, piece: str) -> None:
        if self._shown.push(piece):
            self.finish_reason = "stop"

    def _finish(self, reason: FinishReason) -> None:
        self._take_text(self._detokenizer.flush())
        if not self.finish_reason:
            self._shown.finish()
            self.finish_reason = reason
