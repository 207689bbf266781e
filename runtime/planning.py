"""From the arguments of a call to its requests: what the model is asked, not yet asked of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from halfbyte.call_arguments import check_flag, check_progress
from halfbyte.chat_planning import ChatAsked
from halfbyte.constraints.constraint import Constraint
from halfbyte.constraints.grammar import Grammars
from halfbyte.errors import RequestError
from halfbyte.families.model_card import ModelCard
from halfbyte.generation.adaptation import Adaptation, LoadedAdapters
from halfbyte.generation.candidates import Candidates, candidates_of
from halfbyte.generation.chat_defaults import chat_defaults, chat_params
from halfbyte.generation.completion import Completion, FinishReason, Infilling
from halfbyte.generation.confidence import Confidence
from halfbyte.generation.edit import Edit
from halfbyte.generation.middle_rules import MiddleRules
from halfbyte.generation.params import SamplingParams
from halfbyte.generation.probabilities import Probabilities
from halfbyte.generation.recent_infillings import RecentInfillings
from halfbyte.generation.recorder import Recording
from halfbyte.generation.request import Request
from halfbyte.generation.rules.grammar_rule import GrammarRule
from halfbyte.generation.rules.processors import Processors
from halfbyte.generation.rules.rule import Rule
from halfbyte.generation.rules.token_rules import TokenRules
from halfbyte.generation.shown_text import ShownText
from halfbyte.generation.speculation.drafter import Drafter
from halfbyte.generation.syntax.syntax import Syntax
from halfbyte.generation.terms import Terms
from halfbyte.generation.text_ends import TextEnds
from halfbyte.generation.text_request import TextRequest
from halfbyte.progress import Progress
from halfbyte.prompt.drafts import Drafts
from halfbyte.prompt.edit.edit_encoder import EditEncoder
from halfbyte.prompt.edit.edit_request import (
    Cursor,
    Diagnostic,
    PastEdit,
    Related,
    edit_request,
)
from halfbyte.prompt.encoder import PromptEncoder
from halfbyte.prompt.infill import InfillPrompt, Repository
from halfbyte.prompt.inputs import EncodedPrompt, Prompt, as_list
from halfbyte.prompt.messages import Message
from halfbyte.tokenizer import Tokenizer

if TYPE_CHECKING:
    from halfbyte.generation.beams.beam_request import BeamRequest

EditFormatName = Literal["sweep", "zeta-2", "zeta-2.1", "fim"]


@dataclass(frozen=True, slots=True)
class Plan:
    """Requests that are made together; `is_list` says whether the caller gets a list.

    Each prompt has as many requests as `candidates` counts.
    """

    requests: Sequence[TextRequest | BeamRequest]
    terms: Terms
    progress: Progress
    is_list: bool = False
    candidates: Candidates = field(default_factory=Candidates)

    def result(self, cut_by: FinishReason | None = None) -> Any:
        """What the caller gets of the requests; of those cut short, what there is."""
        results, n = [request.result(cut_by) for request in self.requests], self.candidates.count
        groups = [results[i : i + n] for i in range(0, len(results), n)]
        chosen = [self.candidates.chosen(group) for group in groups]
        return chosen if self.is_list else chosen[0]

    def check_streamed(self) -> None:
        """RequestError where there are no answers to one prompt that come as they grow."""
        if self.is_list:
            raise RequestError("prompt", expected="one prompt to stream", got="a list of prompts")
        self.candidates.check_drawn("a stream")
        self.candidates.check_unranked()

    def decoded(self) -> Callable[[Request], tuple[int, int]]:
        """What counts tokens, told of a request that has some more.

        It says how many are decoded of all requests, and most that can be; a finished request
        counts as whole.
        """
        counted: dict[Request, int] = dict.fromkeys(self.requests, 0)
        n_done, n_most = 0, sum(request.n_max for request in self.requests)

        def count(request: Request) -> tuple[int, int]:
            nonlocal n_done
            answer: Any = request  # one of ours
            n = answer.n_max if request.finish_reason else min(answer.n_generated, answer.n_max)
            n_done, counted[request] = n_done + n - counted[request], n
            return n_done, n_most

        return count


@dataclass(frozen=True, slots=True)
class Options:
    """The keywords of a call that are not its method's own, by what they are about."""

    terms: Terms
    drafts: Drafts
    tokens: TokenRules
    ends: TextEnds
    candidates: Candidates
    probabilities: Probabilities
    adaptation: Adaptation
    constraint: Constraint | None
    processors: Processors


class Planner:
    """Checks arguments and encodes prompts, as the methods of Model document them.

    Attributes:
        chat_defaults: how `chat` samples.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        n_ctx: int,
        card: ModelCard,
        path: str,
        adapters: LoadedAdapters | None = None,
    ) -> None:
        self._tokenizer, self._n_ctx = tokenizer, n_ctx
        self._adapters = adapters or LoadedAdapters()
        self._prompts = PromptEncoder(tokenizer, n_ctx, card.names)
        self._edits = EditEncoder(tokenizer, self._prompts, n_ctx, card.names + card.tags)
        self._recent = RecentInfillings(tokenizer)
        self._grammars = Grammars(tokenizer)
        self.chat_defaults = chat_defaults(card.sampling, path)

    def ids(self, text: Prompt, name: str, parse_markers: bool) -> list[int]:
        """A text's tokens as `complete` would have them, nothing taken back."""
        return self._prompts.completion(text, name, heal=False, parse_markers=parse_markers).tokens

    def completion(
        self,
        prompt: Prompt | Iterable[Prompt],
        *,
        heal: bool = True,
        parse_markers: bool = False,
        progress: Progress | None = None,
        **keywords: Any,
    ) -> Plan:
        """For `complete`."""
        report = check_progress(progress)
        options, rest = self._split(keywords)
        syntax, rest = Syntax.split(rest)
        sampling = SamplingParams.from_kwargs(**rest)
        prompts, is_list = as_list(prompt)
        # A search keeps the prompt's tokens, and so does who wants no answer.
        heals = sampling.max_tokens > 0 and not options.candidates.beams.are_wanted
        how = {"heal": check_flag("heal", heal) and heals, "parse_markers": parse_markers}
        asked = [
            self._prompts.completion(p, f"prompt[{i}]" if is_list else "prompt", **how)
            for i, p in enumerate(prompts)
        ]
        requests = [
            request
            for i, encoded in enumerate(asked)
            for request in self._answers(
                encoded, sampling.of_prompt(i), options, self._echoed(prompts[i], options),
                partial(self._shown, prompts[i], sampling, options, syntax),
            )
        ]  # fmt: skip
        return Plan(requests, options.terms, report, is_list, options.candidates)

    def infilling(
        self,
        prefix: str,
        suffix: str | None = None,
        *,
        order: Literal["auto", "psm", "spm"] = "auto",
        heal: bool = True,
        repository: Repository | None = None,
        parse_markers: bool = False,
        window: int | None = None,
        force: bool = False,
        progress: Progress | None = None,
        **keywords: Any,
    ) -> Plan:
        """For `infill`."""
        report = check_progress(progress)
        options, rest = self._split(keywords)
        options.probabilities.check_no_echo()
        options.candidates.check_drawn("infill")
        rules, rest = MiddleRules.split(rest)
        syntax, rest = Syntax.split(rest)
        sampling = SamplingParams.from_kwargs(**rest)
        asked = self._prompts.infilling(
            prefix, suffix, order=order, heal=heal, repository=repository,
            parse_markers=parse_markers, window=window, force=force,
            max_tokens=sampling.max_tokens,
        )  # fmt: skip
        given = repository or Repository()
        files = tuple(given.files.items()), given.current, given.name
        how = heal, parse_markers, window, rules, sampling, options.tokens, options.ends, syntax
        # The order as given: "auto" may change where the cursor passes a blank line.
        key = asked.suffix, order, files, how, options.adaptation.key, options.constraint
        requests = candidates_of(
            options.candidates, sampling, Recording.of(options.probabilities),
            lambda params, how: self._middle(asked, params, (rules, syntax), options, key, how),
        )  # fmt: skip
        return Plan(requests, options.terms, report, candidates=options.candidates)

    def chat(
        self,
        messages: Sequence[Message],
        *,
        format: Literal["auto", "llama-2", "codellama-70b", "template"] = "auto",
        parse_markers: bool = False,
        progress: Progress | None = None,
        **keywords: Any,
    ) -> Plan:
        """For `chat`."""
        report = check_progress(progress)
        options, rest = self._split(keywords)
        options.ends.check_unused()
        options.probabilities.check_no_echo()
        if options.candidates.beams.are_wanted:
            rest.setdefault("temperature", 0.0)  # nothing is drawn
        chat, rest = ChatAsked.split(rest)
        sampling = chat_params(self.chat_defaults, rest)
        asked = self._prompts.chat(
            messages, format=format, parse_markers=parse_markers, tools=chat.tools,
            thinking=chat.thinking,
        )  # fmt: skip
        if chat.tools is not None and options.constraint is not None:
            kind = options.constraint.kind
            raise RequestError(kind, expected="nothing beside tools", got=options.constraint.source)
        own = partial(
            chat.request, self._tokenizer, self._grammars, asked, sampling.stop,
            options.tokens.banned_strings,
        )  # fmt: skip
        requests = self._answers(asked, sampling, options, own=own)
        return Plan(requests, options.terms, report, candidates=options.candidates)

    def edit(
        self,
        path: str | os.PathLike[str],
        text: str,
        cursor: Cursor,
        *,
        history: Iterable[PastEdit] = (),
        related: Related = (),
        diagnostics: Iterable[Diagnostic] = (),
        format: EditFormatName | None = None,
        window: int | None = None,
        progress: Progress | None = None,
        **keywords: Any,
    ) -> Plan:
        """For `edit`."""
        report = check_progress(progress)
        for name in ("stop", "stop_tokens"):
            if name in keywords:
                expected = "nothing: the format says where an edit ends"
                raise RequestError(name, expected=expected, got=repr(keywords[name]))
        options, rest = self._split(keywords)
        options.ends.check_unused()
        options.candidates.check_single("edit")
        options.probabilities.check_no_echo()
        if options.constraint is not None:
            expected = "nothing: the format says what an edit is"
            raise RequestError(options.constraint.kind, expected=expected)
        sampling = SamplingParams.from_kwargs(**rest)
        asked = self._edits.prompt(
            edit_request(
                path, text, cursor, history=history, related=related, diagnostics=diagnostics
            ),
            format=format, window=window,
            max_tokens=sampling.max_tokens if "max_tokens" in keywords else None,
        )  # fmt: skip

        def finish(done: Completion) -> Edit:
            change = asked.change(done.text, is_whole=done.finish_reason == "stop")
            return Edit.of(
                done, change.text, start=change.start, end=change.end, jump=change.jump,
                format=asked.format, original=asked.view.original, left_out=asked.left_out,
            )  # fmt: skip

        if options.drafts.prediction is None and options.drafts.speculate:
            unchanged = self._tokenizer.encode_fragment(asked.draft_text)
            options = replace(options, drafts=replace(options.drafts, prediction=unchanged))
        sampling = replace(sampling, max_tokens=asked.max_tokens, stop=asked.stop_texts)
        shown = ShownText(asked.stop_texts, suffix=asked.suffix)
        request = self._request(asked, sampling, options, finish=finish, shown=shown)
        return Plan([request], options.terms, report)

    def _split(self, keywords: Mapping[str, Any]) -> tuple[Options, dict[str, Any]]:
        """What a call's keywords ask for, and those that are left: the sampling parameters."""
        terms, rest = Terms.split(keywords)
        drafts, rest = Drafts.split(self._tokenizer, rest)
        tokens, rest = TokenRules.split(self._tokenizer, rest)
        ends, rest = TextEnds.split(rest)
        candidates, rest = Candidates.split(rest)
        probabilities, rest = Probabilities.split(rest)
        adaptation, rest = Adaptation.split(self._adapters, rest)
        constraint, rest = Constraint.split(rest)
        processors, rest = Processors.split(rest)
        groups = terms, drafts, tokens, ends, candidates, probabilities, adaptation
        return Options(*groups, constraint, processors), rest

    def _middle(
        self,
        asked: InfillPrompt,
        sampling: SamplingParams,
        ends: tuple[MiddleRules, Syntax],
        options: Options,
        key: Hashable,
        how: dict[str, Any],
    ) -> TextRequest:
        """A request for a middle, or a finished one with the rest of an earlier answer."""
        rules, syntax = ends
        is_fixed = rules.reuse_answer and sampling.is_greedy and sampling.max_tokens > 0
        is_fixed = is_fixed and options.candidates.count == 1 and how["recording"] is None
        is_fixed = is_fixed and not options.processors.functions
        known = self._recent.rest(key, asked.prefix, len(asked.tokens)) if is_fixed else None
        if known is not None:
            shown = ShownText()
            shown.push(known.text)
            how = {"shown": shown, "finish": lambda _: known}
            plain = replace(options, constraint=None)  # which would take forced tokens again
            request = self._request(asked, sampling, plain, **how)
            request.finish_reason = known.finish_reason
            return request
        shown = rules.shown_text(
            sampling.stop, asked.suffix, block_ends=options.ends.block_ends(asked.prefix),
            banned=options.tokens.banned_strings,
        )  # fmt: skip
        shown = syntax.shown_text(shown, lambda: asked.prefix, asked.suffix)
        confidence = rules.make_confidence()

        def finish(completion: Completion) -> Infilling:
            sure = confidence or Confidence()
            done = Infilling.of(
                completion, prefix=asked.prefix, suffix=asked.suffix, order=asked.order,
                n_prefix_dropped=asked.n_prefix_dropped, n_suffix_dropped=asked.n_suffix_dropped,
                files_dropped=asked.files_dropped, trimmed=shown.trimmed,
                first_token_probability=sure.first, mean_probability=sure.mean,
            )  # fmt: skip
            if is_fixed:
                self._recent.remember(key, done)
            return done

        if confidence is not None:
            confidence.is_ranking = options.candidates.are_ranked
            how["confidence"] = confidence
        how |= {"finish": finish, "shown": shown}
        return self._request(asked, sampling, options, **how)

    def _answers(
        self,
        prompt: EncodedPrompt,
        sampling: SamplingParams,
        options: Options,
        text: str = "",
        own: Callable[[], dict[str, Any]] = dict,
    ) -> Sequence[TextRequest | BeamRequest]:
        """The answers to one prompt that are texts and nothing more."""
        if options.candidates.beams.are_wanted:
            return [self._search(prompt, sampling, options)]

        def make(params: SamplingParams, how: dict[str, Any]) -> TextRequest:
            return self._request(prompt, params, options, **how, **own())

        recording = Recording.of(options.probabilities, text)
        return candidates_of(options.candidates, sampling, recording, make)

    def _search(
        self, prompt: EncodedPrompt, sampling: SamplingParams, options: Options
    ) -> BeamRequest:
        from halfbyte.generation.beams.beam_answers import beam_request

        options.probabilities.check_none("num_beams")
        request = beam_request(
            self._tokenizer, prompt.tokens, sampling, self._n_ctx, options.candidates.beams,
            prompt.stop_ids,
        )  # fmt: skip
        request.go_through(options.adaptation.applied)
        return request

    def _echoed(self, prompt: Prompt, options: Options) -> str:
        """The prompt's text, where it is wanted."""
        return self._text_of(prompt) if options.probabilities.echo else ""

    def _text_of(self, prompt: Prompt) -> str:
        return prompt if isinstance(prompt, str) else self._tokenizer.decode(prompt)

    def _request(
        self, prompt: EncodedPrompt, params: SamplingParams, options: Options, **more: Any
    ) -> TextRequest:
        drafts, tokens = options.drafts, options.tokens
        drafter = Drafter(drafts.prediction or (), drafts.lookup) if drafts.speculate else None
        tokens.check_length(params.max_tokens)
        ids, taken_back = prompt.tokens, prompt.taken_back
        end_ids = self._tokenizer.eog_ids | prompt.stop_ids | frozenset(params.stop_tokens)
        grammar: list[Rule] = []
        if options.constraint is not None:
            try:
                before = b"".join(map(self._tokenizer.token_bytes, taken_back)).decode()
            except UnicodeDecodeError:  # a character's last bytes: no grammar begins with them
                ids, taken_back, before = [*ids, *taken_back], (), ""
            matcher = self._grammars.compiled(options.constraint, before).matcher()
            grammar = [GrammarRule(matcher, end_ids)]
        rules = [
            *tokens.rules(self._tokenizer, ids, taken_back, end_ids),
            *options.processors.rules(ids), *more.pop("rules", ()), *grammar,
        ]  # fmt: skip
        more.setdefault("shown", ShownText(params.stop, banned=tokens.banned_strings))
        more.setdefault("recording", Recording.of(options.probabilities))
        request = TextRequest(
            self._tokenizer, ids, params, self._n_ctx, taken_back=taken_back,
            stop_ids=prompt.stop_ids, drafter=drafter, rules=rules, **more,
        )  # fmt: skip
        request.go_through(options.adaptation.applied)
        return request

    def _shown(
        self, prompt: Prompt, sampling: SamplingParams, options: Options, syntax: Syntax
    ) -> dict[str, ShownText]:
        """What takes the text that follows a prompt."""
        before = self._text_of(prompt) if options.ends.stop_indent is True else ""
        block_ends, banned = options.ends.block_ends(before), options.tokens.banned_strings
        shown = ShownText(sampling.stop, block_ends=block_ends, banned=banned)
        return {"shown": syntax.shown_text(shown, partial(self._text_of, prompt))}
