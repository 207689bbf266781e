"""A request for text: its detokenizer, its stops, and what of it may be shown."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from halfbyte.errors import RequestError
from halfbyte.generation.completion import Completion, FinishReason
from halfbyte.generation.confidence import Confidence
from halfbyte.generation.continuation import Continuation
from halfbyte.generation.params import SamplingParams
from halfbyte.generation.probabilities import TokenLogprob
from halfbyte.generation.recorder import Recording
from halfbyte.generation.records import Records
from halfbyte.generation.respelling import Respelling
from halfbyte.generation.rules.forbidden import Forbidden
from halfbyte.generation.rules.grammar_rule import GrammarRule
from halfbyte.generation.rules.logit_bias import LogitBias
from halfbyte.generation.rules.rule import Rewindable, Rule, changed
from halfbyte.generation.sampler import F32
from halfbyte.generation.sampling.asked_sampler import sampler_of
from halfbyte.generation.shown_text import ShownText
from halfbyte.generation.speculation.drafter import Draft, Drafter
from halfbyte.generation.speculation.pool import Pool
from halfbyte.tokenizer import Tokenizer
from halfbyte.tokenizer.detokenizer import StreamDetokenizer

log = logging.getLogger(__name__)


class TextRequest(Continuation):
    """A prompt and the text that follows it, of which `shown` takes what may be shown.

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
        recording: Recording | None = None,
    ) -> None:
        """A request at its beginning.

        Args:
            tokenizer: whose ids they are.
            prompt: what the model sees first.
            params: how to choose the next token, and when to stop.
            n_ctx: most tokens of prompt and answer together.
            taken_back: the ids that followed, whose text the answer has to spell again.
            stop_ids: end it besides the tokenizer's and the caller's.
            shown: takes the text, and may take it back; by default with the stops of `params`.
            confidence: takes the tokens' probabilities, where they are wanted.
            finish: makes what the caller gets of its completion.
            drafter: guesses the answer.
            rules: change its logits; told of every token, those of a respelling too.
            recording: what is wanted of probabilities.

        Raises:
            RequestError: a stop token outside the vocabulary, or a rule that cannot step back.
        """
        self.params, self._result_of = params.seeded(), finish
        text = b"".join(map(tokenizer.token_bytes, taken_back))
        self._sampler = sampler_of(tokenizer, self.params, prompt, stop_ids)
        self._grammar = next((rule for rule in rules if isinstance(rule, GrammarRule)), None)
        respelling = self._respelling_of(tokenizer, text, taken_back, rules) if text else None
        super().__init__(prompt, n_ctx, respelling, drafter)
        self.shown, self._confidence = shown or ShownText(params.stop), confidence
        self._forbidden = _forbidden_beside(rules) if self.shown.banned else None
        self._rules = self._with_forbidden(rules)
        self._new_detokenizer = partial(StreamDetokenizer, tokenizer, skip_nbytes=len(text))
        self._detokenizer = self._new_detokenizer()
        self._stop_tokens = tokenizer.eog_ids | stop_ids | frozenset(params.stop_tokens)
        self._n_respelled, self._tokenizer, self.ends = 0, tokenizer, tokenizer.eog_ids
        self._records = Records(recording, tokenizer, self._sampler, self.n_prompt)
        self._begin()

    def _with_forbidden(self, rules: Sequence[Rule]) -> list[Rule]:
        """The rules and what stepping back forbids; a grammar stays the last of them."""
        at = len(rules) - int(self._grammar is not None)
        own = [] if self._forbidden is None else [self._forbidden]
        return [*rules[:at], *own, *rules[at:]]

    def _respelling_of(
        self, tokenizer: Tokenizer, text: bytes, given: Sequence[int], rules: Sequence[Rule]
    ) -> Respelling:
        biases = [rule for rule in rules if isinstance(rule, LogitBias)]  # the same for every token
        matcher = None if self._grammar is None else self._grammar.matcher
        return Respelling(tokenizer, self._sampler, text, given, biases, matcher)

    def _begin(self) -> None:
        self.is_remembered = not self._records.of_prompt
        if self.respelling is not None and self._records.of_answer:
            self.respelling.rows = {}
        if self.params.max_tokens and self.respelling is None:
            self._take_forced()

    @property
    def text(self) -> str:
        """What may be shown, an echoed prompt first; what may be cut still is held back."""
        return self._records.echoed + self.shown.text

    @property
    def n_max(self) -> int:
        """Most tokens that can come."""
        return min(self.params.max_tokens, self.n_ctx - self.n_prompt)

    @property
    def logprobs(self) -> list[TokenLogprob] | None:
        """Those of the tokens so far; None where they are not asked for."""
        healed = self.respelling.text if self.respelling else b""
        return self._records.told_of_answer(self.prompt, self.tokens, healed)

    @property
    def n_left(self) -> int:
        """Most tokens that can still come."""
        n_left = self.params.max_tokens - (self.n_generated - self._n_respelled)
        return min(super().n_left, n_left)

    def take(self, logits: F32) -> None:
        """Take the rows of the prompt, where they are wanted; then as every request does.

        Tokens that have to follow are taken too: these need no logits. Where no answer is wanted,
        a prompt that is computed is known to those that come.
        """
        if self._records.want_prompt:
            logits = self._records.take_prompt(self.ids, self.n_computed, logits)
        if self.params.max_tokens:
            super().take(logits)
        elif self.n_computed == self.n_prompt:
            self.clock.first_s = self.clock.last_s = time.perf_counter()
            self.finish_reason = "length"
        is_spelled = self.respelling is None or self.respelling.tokens
        if self._grammar is not None and self.is_answering and is_spelled:
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
        return draft and draft.first(self.n_possible(draft.ids))

    def n_possible(self, guesses: Sequence[int]) -> int:
        """How many of these guesses can come in a row."""
        return len(guesses) if self._grammar is None else self._grammar.n_possible(guesses)

    def sample(self, logits: F32) -> int:
        """The next token; not taken yet."""
        if self._grammar is not None and not self._wants_logits:
            forced = self._grammar.forced
            if forced is not None:
                return forced
        token = self._choose_token(logits)
        if self._records.of_answer:
            self._records.take(logits, token)
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
            if self._records.of_answer:
                self._records.take_raw(self.respelling.row_before(self.n_generated), token)
        elif token in self._stop_tokens:
            self._finish("stop")
            return
        self.ids.append(token)
        self._sampler.accept(token)
        for rule in self._rules:
            rule.accept(token)
        self._take_text(self._detokenizer.push(token) + self.shown.spelled.get(token, ""))
        if self._forbidden is not None and self.shown.n_taken_back:
            self._step_back(self.shown.n_taken_back, self._forbidden)
            return
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
        echoed = self.prompt if self._records.echoed else []
        completion = Completion(
            text=self.text,
            tokens=[*echoed, *self.tokens],
            finish_reason=self.finish_reason or cut_by or "stop",
            stats=self.stats(),
            healed=self.respelling.text.decode(errors="replace") if self.respelling else "",
            seed=None if self.params.is_greedy else self.params.seed,
            score=self._confidence.score if self._confidence else None,
            logprobs=self.logprobs,
            prompt_logprobs=self._records.told_of_prompt(self.prompt),
            is_complete=self._is_complete(),
            stop_text=self.shown.stop_text,
        )
        return self._result_of(completion)

    def _is_complete(self) -> bool | None:
        """Whether the answer is whole; None where nothing says what it has to be."""
        if self._grammar is None:
            return None
        return self._grammar.accepts(self.shown.text)

    @property
    def _wants_logits(self) -> bool:
        """Whether somebody looks at the logits of tokens that have to come, too."""
        return self._confidence is not None or self._records.want_logits

    def _n_out(self, begin: int, end: int) -> int:
        n_own = super()._n_out(begin, end) if self.params.max_tokens else 0
        return max(n_own, self._records.n_rows(begin, end))

    def _choose_token(self, logits: F32) -> int:
        """What the rules leave and the sampler chooses.

        A mask takes longer than a look at one token. That is enough where the token that is chosen
        without the mask may come: the likeliest of all is the likeliest of those that may; and with
        A the share of these, a token that may come is drawn with p + (1 - A) p / A = p / A.
        """
        if self._grammar is None:
            return self._sampler.sample(changed(logits, self._rules))
        row, token = changed(logits, self._rules[:-1]), -1  # the caller's rules see a token once
        if self._sampler.needs_no_mask:
            token = self._sampler.sample(row)
            if not self._grammar.allows(token):
                token = -1
        if token >= 0 and not (self._records.of_answer and self._sampler.drawn_from):
            return token
        if not self._sampler.takes_parts:
            return self._sampler.sample(changed(row, [self._grammar]))
        if token < 0:
            return self._sampler.sample_left(row, self._grammar.left)
        self._sampler.look_at(row, self._grammar.left)
        return token

    def _take_forced(self) -> None:
        """Take what the grammar has come next, unless somebody wants its logits."""
        if self._grammar is None or self._wants_logits:
            return
        while not self.finish_reason and (token := self._grammar.forced) is not None:
            self.accept(token)

    def _is_doubtful(self, respelling: Respelling) -> bool:
        """Whether what it wrote beyond the text that was taken back is not likely enough."""
        n_nbytes = sum(len(self._tokenizer.token_bytes(token)) for token in respelling.tokens)
        if self._confidence is None or n_nbytes <= len(respelling.text):
            return False
        self._confidence.take_share(respelling.log_share)
        return self._confidence.is_too_low

    def end_early(self, reason: FinishReason) -> None:
        """As Request.end_early: what was held back is shown."""
        if not self.finish_reason:
            self._finish(reason)

    def _step_back(self, n: int, forbidden: Forbidden) -> None:
        """Take the last n tokens back; the first of them does not come there again."""
        n_kept, first = self.n_generated - n, self.ids[-n]
        if self.respelling is not None and n_kept < len(self.respelling.tokens):
            # A token that spells the prompt's end begins it: begin with those that the prompt had.
            self.shown.forget(n_kept)
            self._rewind(self.n_generated)
            self._n_respelled = 0
            for token in self.respelling.take_given():
                self.accept(token)
            return
        self._rewind(n)
        is_forced = self._grammar is not None and self._grammar.forced == first
        if is_forced or not forbidden.forbid(first):
            log.warning("banned strings came again and again: the answer ends there")
            self._finish("banned")

    def _rewind(self, n: int) -> None:
        """Be as before the last n tokens, but for the random numbers that were drawn."""
        self.take_back(n)
        self._sampler.rewind(n)
        for rule in self._rules:
            assert isinstance(rule, Rewindable)  # it was checked
            rule.rewind(n)
        if self._confidence is not None:
            self._confidence.rewind(n)
        self._records.rewind(n)
        self._detokenizer = self._new_detokenizer()
        for token in self.tokens:
            self._detokenizer.push(token)

    def _take_text(self, piece: str) -> None:
        if self.shown.push(piece):
            self.finish_reason = self.shown.ended_by

    def _finish(self, reason: FinishReason) -> None:
        self._take_text(self._detokenizer.flush())
        if not self.finish_reason:
            self.shown.finish()
            self.finish_reason = self.shown.ended_by if reason == "stop" else reason


def _forbidden_beside(rules: Sequence[Rule]) -> Forbidden:
    """What stepping back needs; RequestError where another rule cannot."""
    for rule in rules:
        if not isinstance(rule, Rewindable):
            expected = "nothing beside what cannot take tokens back"
            raise RequestError("banned_strings", expected=expected, got=type(rule).__name__)
    return Forbidden()
