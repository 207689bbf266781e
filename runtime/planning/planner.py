"""The methods of a model as plans: arguments are checked here, and prompts encoded."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal

from halfbyte.cache_scope import current_scope, takes_scope
from halfbyte.call_arguments import check_flag, check_progress, literal
from halfbyte.errors import RequestError
from halfbyte.families.model_card import ModelCard
from halfbyte.generation.adaptation import LoadedAdapters
from halfbyte.generation.candidates import candidates_of
from halfbyte.generation.chat_defaults import chat_defaults, chat_params
from halfbyte.generation.completion import Completion, Infilling
from halfbyte.generation.confidence import Confidence
from halfbyte.generation.edit import Edit
from halfbyte.generation.middle_rules import MiddleRules
from halfbyte.generation.params import SamplingParams
from halfbyte.generation.recent_infillings import RecentInfillings
from halfbyte.generation.recorder import Recording
from halfbyte.generation.shown_text import ShownText
from halfbyte.generation.syntax.syntax import Syntax
from halfbyte.generation.text_ends import TextEnds
from halfbyte.generation.text_request import TextRequest
from halfbyte.import_lock import Later
from halfbyte.planning.call_options import Options
from halfbyte.planning.call_plan import Plan
from halfbyte.planning.request_maker import RequestMaker
from halfbyte.progress import Progress
from halfbyte.prompt.edit.edit_request import (
    Cursor,
    Diagnostic,
    PastEdit,
    Related,
    edit_request,
)
from halfbyte.prompt.encoder import PromptEncoder
from halfbyte.prompt.infill import InfillPrompt, Repository
from halfbyte.prompt.inputs import Prompt, as_list
from halfbyte.prompt.messages import Message
from halfbyte.prompt.prompt_cut import PromptCut
from halfbyte.tokenizer import Tokenizer

if TYPE_CHECKING:
    from halfbyte.generation.beams.beam_request import BeamRequest
    from halfbyte.planning import chat_planning
    from halfbyte.prompt.edit import edit_encoder
    from halfbyte.prompt.edit.client_prompt import ClientPrompt
else:  # each takes milliseconds, and most calls complete a text
    chat_planning = Later("halfbyte.planning.chat_planning")
    edit_encoder = Later("halfbyte.prompt.edit.edit_encoder")

EditFormatName = Literal["sweep", "zeta-2", "zeta-2.1", "fim"]


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
        self._tokenizer, self._n_ctx, self._card = tokenizer, n_ctx, card
        self._adapters = adapters or LoadedAdapters()
        self._prompts = PromptEncoder(tokenizer, n_ctx, card.names)
        self._recent = RecentInfillings(tokenizer)
        self._maker = RequestMaker(tokenizer, n_ctx)
        self.chat_defaults = chat_defaults(card.sampling, path)

    @cached_property
    def _edits(self) -> edit_encoder.EditEncoder:
        known_as = self._card.names + self._card.tags
        return edit_encoder.EditEncoder(self._tokenizer, self._prompts, self._n_ctx, known_as)

    @property
    def can_infill(self) -> bool:
        """Whether the model was trained to infill."""
        return self._prompts.can_infill

    def gap(self, text: str) -> tuple[str, str] | None:
        """See AnsweringModel.read_infill_prompt."""
        return self._prompts.gap(text)

    @property
    def edit_format(self) -> str | None:
        """See EditingModel.edit_format."""
        return self._edits.format

    def client_prompt(self, prompt: str, format: str | None) -> ClientPrompt | None:
        """See EditingModel.read_edit_prompt."""
        return self._edits.client_prompt(prompt, format)

    def ids(self, text: Prompt, name: str, parse_markers: bool) -> list[int]:
        """A text's tokens as `complete` would have them, nothing taken back."""
        return self._prompts.completion(text, name, heal=False, parse_markers=parse_markers).tokens

    @takes_scope
    def completion(
        self,
        prompt: Prompt | Iterable[Prompt],
        *,
        heal: bool = True,
        parse_markers: bool = False,
        truncate: Literal["left", "middle"] | None = None,
        progress: Progress | None = None,
        **keywords: Any,
    ) -> Plan:
        """For `complete`."""
        report = check_progress(progress)
        options, rest = Options.split(self._tokenizer, self._adapters, keywords)
        syntax, rest = Syntax.split(rest)
        if options.candidates.beams.are_wanted:
            syntax.check_search()
        sampling = SamplingParams.from_kwargs(**rest)
        prompts, is_list = as_list(prompt)
        # A search keeps the prompt's tokens, and so does who wants no answer.
        heals = sampling.max_tokens > 0 and not options.candidates.beams.are_wanted
        cut = PromptCut.asked(truncate, sampling.max_tokens)
        how = {"heal": check_flag("heal", heal) and heals, "parse_markers": parse_markers}
        asked = [
            self._prompts.completion(p, f"prompt[{i}]" if is_list else "prompt", **how, cut=cut)
            for i, p in enumerate(prompts)
        ]
        requests = [
            request
            for i, encoded in enumerate(asked)
            for request in self._maker.answers(
                encoded, sampling.of_prompt(i), options, self._maker.echoed(prompts[i], options),
                partial(self._maker.shown, prompts[i], sampling, options, syntax),
            )
        ]  # fmt: skip
        return Plan(requests, options.terms, report, is_list, options.candidates)

    @takes_scope
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
        options, rest = Options.split(self._tokenizer, self._adapters, keywords)
        options.probabilities.check_no_echo()
        rules, rest = MiddleRules.split(rest)
        syntax, rest = Syntax.split(rest)
        is_search = options.candidates.beams.are_wanted
        if is_search:
            rules.check_search()
            syntax.check_search()
        sampling = SamplingParams.from_kwargs(**rest)
        heals = check_flag("heal", heal) and not is_search
        asked = self._prompts.infilling(
            prefix, suffix, order=order, heal=heals, repository=repository,
            parse_markers=parse_markers, window=window, force=force,
            max_tokens=sampling.max_tokens,
        )  # fmt: skip
        given = repository or Repository()
        files = tuple(given.files.items()), given.current, given.name, given.is_apart
        how = heal, parse_markers, window, rules, sampling, options.tokens, options.ends, syntax
        # The order as given: "auto" may change where the cursor passes a blank line.
        key = asked.suffix, order, files, how, options.adaptation.key, current_scope()
        requests: Sequence[TextRequest | BeamRequest]
        if is_search:
            own = partial(self._middle_text, asked, sampling, (rules, syntax), options)
            requests = self._maker.answers(asked, sampling, options, own=own)
        else:
            requests = candidates_of(
                options.candidates, sampling, Recording.of(options.probabilities),
                lambda params, how: self._middle(asked, params, (rules, syntax), options, key, how),
            )  # fmt: skip
        return Plan(requests, options.terms, report, candidates=options.candidates)

    @takes_scope
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
        options, rest = Options.split(self._tokenizer, self._adapters, keywords)
        options.ends.check_unused()
        options.probabilities.check_no_echo()
        if options.candidates.beams.are_wanted:
            rest = {"temperature": 0.0, "penalty_window": None, **rest}  # nothing is drawn
        chat, rest = chat_planning.ChatAsked.split(rest)
        sampling = chat_params(self.chat_defaults, rest)
        asked = self._prompts.chat(
            messages, format=format, parse_markers=parse_markers, tools=chat.tools,
            thinking=chat.thinking,
        )  # fmt: skip
        if options.candidates.beams.are_wanted and (chat.tools or asked.thoughts):
            expected = "nothing in a chat with tools or thoughts"
            raise RequestError("num_beams", expected=expected)
        may_think = asked.thoughts is not None and (asked.is_thinking or chat.thinking.thinking)
        if options.constraint is not None and (chat.may_call or may_think):
            chat = replace(chat, shape=options.constraint)
            options = replace(options, constraint=None)
        own = partial(
            chat.request, self._tokenizer, self._maker.grammars, asked, sampling.stop,
            options.tokens.banned_strings,
        )  # fmt: skip
        requests = self._maker.answers(asked, sampling, options, own=own)
        return Plan(requests, options.terms, report, candidates=options.candidates)

    @takes_scope
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
                raise RequestError(name, expected=expected, got=literal(keywords[name]))
        options, rest = Options.split(self._tokenizer, self._adapters, keywords)
        options.ends.check_unused()
        options.candidates.check_single("edit")
        options.probabilities.check_no_echo()
        if (constraint := options.constraint) is not None:
            raise RequestError(constraint.kind, expected="nothing: the format says what an edit is")
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
        banned = options.tokens.banned_strings
        shown = ShownText(asked.stop_texts, suffix=asked.suffix, banned=banned)
        request = self._maker.request(asked, sampling, options, finish=finish, shown=shown)
        return Plan([request], options.terms, report)

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
        rules = ends[0]
        is_fixed = rules.reuse_answer and sampling.is_greedy and sampling.max_tokens > 0
        is_alone = options.candidates.count == 1 and not options.candidates.are_ranked
        is_fixed = is_fixed and is_alone and how["recording"] is None
        # These depend on where the answer begins, which the rest of one does not.
        is_fixed = is_fixed and options.ends == TextEnds() and not options.tokens.min_tokens
        # A rest that was typed to is no whole answer, and functions may do as they like.
        is_fixed = is_fixed and not (options.constraint or options.processors.functions)
        known = self._recent.rest(key, asked.prefix, len(asked.tokens)) if is_fixed else None
        if known is not None:
            shown = ShownText()
            shown.push(known.text)
            how = {"shown": shown, "finish": lambda _: known}
            request = self._maker.request(asked, sampling, options, **how)
            request.finish_reason = known.finish_reason
            return request
        how |= self._middle_text(asked, sampling, ends, options, key if is_fixed else None)
        return self._maker.request(asked, sampling, options, **how)

    def _middle_text(
        self,
        asked: InfillPrompt,
        sampling: SamplingParams,
        ends: tuple[MiddleRules, Syntax],
        options: Options,
        key: Hashable = None,
    ) -> dict[str, Any]:
        """What takes a middle's text, and makes an Infilling, remembered under the key."""
        rules, syntax = ends
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
            if key is not None:
                self._recent.remember(key, done)
            return done

        made = {"finish": finish, "shown": shown}
        if confidence is not None:
            confidence.is_ranking = options.candidates.are_ranked
            made["confidence"] = confidence
        return made
