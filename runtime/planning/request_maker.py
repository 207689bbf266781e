"""Requests from encoded prompts and options."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from halfbyte.generation.candidates import candidates_of
from halfbyte.generation.params import SamplingParams
from halfbyte.generation.recorder import Recording
from halfbyte.generation.rules.grammar_rule import GrammarRule
from halfbyte.generation.rules.rule import ForkingRule
from halfbyte.generation.shown_text import ShownText
from halfbyte.generation.speculation.drafter import Drafter
from halfbyte.generation.syntax.syntax import Syntax
from halfbyte.generation.text_request import TextRequest
from halfbyte.import_lock import Later
from halfbyte.planning.call_options import Options
from halfbyte.prompt.inputs import EncodedPrompt, Prompt
from halfbyte.tokenizer import Tokenizer

if TYPE_CHECKING:
    from halfbyte.constraints import grammar as of_constraints
    from halfbyte.generation.beams.beam_request import BeamRequest
else:  # few answers have to be something
    of_constraints = Later("halfbyte.constraints.grammar")


class RequestMaker:
    """Makes the requests of one model."""

    def __init__(self, tokenizer: Tokenizer, n_ctx: int) -> None:
        self._tokenizer, self._n_ctx = tokenizer, n_ctx

    @cached_property
    def grammars(self) -> of_constraints.Grammars:
        """Those that answers have to meet."""
        return of_constraints.Grammars(self._tokenizer)

    def answers(
        self,
        prompt: EncodedPrompt,
        sampling: SamplingParams,
        options: Options,
        text: str = "",
        own: Callable[[], dict[str, Any]] = dict,
    ) -> Sequence[TextRequest | BeamRequest]:
        """The answers to one prompt that are texts and nothing more.

        Args:
            prompt: of all of them.
            sampling: of the first one.
            options: of the call.
            text: the prompt's, where it is echoed.
            own: makes what each has of its own, arguments of TextRequest.
        """
        if options.candidates.beams.are_wanted:
            return [self._search(prompt, sampling, options, text, own)]

        def make(params: SamplingParams, how: dict[str, Any]) -> TextRequest:
            return self.request(prompt, params, options, **how, **own())

        recording = Recording.of(options.probabilities, text)
        return candidates_of(options.candidates, sampling, recording, make)

    def request(
        self, prompt: EncodedPrompt, params: SamplingParams, options: Options, **more: Any
    ) -> TextRequest:
        """One answer; `more` are arguments of TextRequest: its rules come after the options."""
        options.tokens.check_length(params.max_tokens)
        drafts, own = options.drafts, more.pop("rules", ())
        drafter = Drafter(drafts.prediction or (), drafts.lookup) if drafts.speculate else None
        ids, taken_back, before = self._taken_back(prompt, options)
        asked = options.constraint
        grammar = None if asked is None else self.grammars.compiled(asked, before)
        ends = self._end_ids(prompt, params)
        rules = [*self._rules(ids, taken_back, ends, options), *own, *_last(grammar, ends)]
        more.setdefault("shown", ShownText(params.stop, banned=options.tokens.banned_strings))
        more.setdefault("recording", Recording.of(options.probabilities))
        request = TextRequest(
            self._tokenizer, ids, params, self._n_ctx, taken_back=taken_back,
            stop_ids=prompt.stop_ids, drafter=drafter,
            rules=rules, **more,
        )  # fmt: skip
        request.go_through(options.adaptation.applied)
        return request

    def _search(
        self,
        prompt: EncodedPrompt,
        params: SamplingParams,
        options: Options,
        text: str,
        own: Callable[[], dict[str, Any]],
    ) -> BeamRequest:
        from halfbyte.generation.beams.beam_answers import BeamText, beam_request

        options.check_search()
        options.tokens.check_length(params.max_tokens)
        ends, asked = self._end_ids(prompt, params), options.constraint
        grammar = None if asked is None else self.grammars.compiled(asked)

        def make_text() -> BeamText:
            made = {"shown": ShownText(params.stop), **own()}
            return BeamText(**{name: made[name] for name in ("shown", "finish") if name in made})

        request = beam_request(
            self._tokenizer, prompt.tokens, params, self._n_ctx, options.candidates.beams,
            stop_ids=prompt.stop_ids, make_text=make_text,
            make_rules=lambda: [
                *self._rules(prompt.tokens, (), ends, options), *_last(grammar, ends)
            ],
            accepts=None if grammar is None else grammar.accepts,
            recording=Recording.of(options.probabilities, text),
        )  # fmt: skip
        request.go_through(options.adaptation.applied)
        return request

    def _rules(
        self,
        ids: Sequence[int],
        taken_back: Sequence[int],
        ends: frozenset[int],
        options: Options,
    ) -> list[ForkingRule]:
        """New ones of an answer: what is biased, the caller's."""
        tokens = options.tokens.rules(self._tokenizer, ids, taken_back, ends)
        return [*tokens, *options.processors.rules(ids)]

    def _end_ids(self, prompt: EncodedPrompt, params: SamplingParams) -> frozenset[int]:
        return self._tokenizer.eog_ids | prompt.stop_ids | frozenset(params.stop_tokens)

    def _taken_back(
        self, prompt: EncodedPrompt, options: Options
    ) -> tuple[list[int], tuple[int, ...], str]:
        """A prompt's ids, those taken back, and their text, with which a grammar begins."""
        if options.constraint is None:
            return prompt.tokens, prompt.taken_back, ""
        try:
            before = b"".join(map(self._tokenizer.token_bytes, prompt.taken_back)).decode()
        except UnicodeDecodeError:  # a character's last bytes: no grammar begins with them
            return [*prompt.tokens, *prompt.taken_back], (), ""
        return prompt.tokens, prompt.taken_back, before

    def echoed(self, prompt: Prompt, options: Options) -> str:
        """The prompt's text, where it is wanted."""
        return self.text_of(prompt) if options.probabilities.echo else ""

    def shown(
        self, prompt: Prompt, sampling: SamplingParams, options: Options, syntax: Syntax
    ) -> dict[str, ShownText]:
        """What takes the text that follows a prompt."""
        before = self.text_of(prompt) if options.ends.stop_indent is True else ""
        block_ends, banned = options.ends.block_ends(before), options.tokens.banned_strings
        shown = ShownText(sampling.stop, block_ends=block_ends, banned=banned)
        return {"shown": syntax.shown_text(shown, partial(self.text_of, prompt))}

    def text_of(self, prompt: Prompt) -> str:
        """A prompt as text."""
        return prompt if isinstance(prompt, str) else self._tokenizer.decode(prompt)


def _last(grammar: of_constraints.Grammar | None, ends: frozenset[int]) -> list[GrammarRule]:
    """The rule of what an answer has to be, which comes behind all others."""
    return [] if grammar is None else [GrammarRule(grammar.matcher(), ends)]
