"""From the arguments of a call to its requests: what the model is asked, not yet asked of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from halfbyte.call_arguments import check_progress
from halfbyte.constraints.constraint import Constraint
from halfbyte.constraints.grammar import Grammars
from halfbyte.errors import RequestError
from halfbyte.families.model_card import ModelCard
from halfbyte.generation.chat_defaults import chat_defaults, chat_params
from halfbyte.generation.completion import Completion, Infilling
from halfbyte.generation.confidence import Confidence
from halfbyte.generation.edit import Edit
from halfbyte.generation.middle_rules import MiddleRules
from halfbyte.generation.params import SamplingParams
from halfbyte.generation.recent_infillings import RecentInfillings
from halfbyte.generation.request import Request
from halfbyte.generation.rules.processors import Processors
from halfbyte.generation.shown_text import ShownText
from halfbyte.generation.speculation.drafter import Drafter
from halfbyte.generation.terms import Terms
from halfbyte.generation.text_request import TextRequest
from halfbyte.progress import Progress
from halfbyte.prompt.chat import Message
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
from halfbyte.tokenizer import Tokenizer

EditFormatName = Literal["sweep", "zeta-2", "zeta-2.1", "fim"]


@dataclass(frozen=True, slots=True)
class Plan:
    """Requests that are made together; `is_list` says whether the caller gets a list."""

    requests: Sequence[TextRequest]
    terms: Terms
    progress: Progress
    is_list: bool = False

    def result(self) -> Any:
        """What the caller gets of finished requests."""
        results = [request.result() for request in self.requests]
        return results if self.is_list else results[0]

    def decoded(self) -> Callable[[Request], tuple[int, int]]:
        """What counts tokens, told of a request that has some more.

        It says how many are decoded of all requests, and most that can be; a finished request
        counts as whole.
        """
        counted = {request: 0 for request in self.requests}
        n_done, n_most = 0, sum(request.n_max for request in self.requests)

        def count(request: Request) -> tuple[int, int]:
            nonlocal n_done
            assert isinstance(request, TextRequest)
            n = request.n_max if request.finish_reason else min(request.n_generated, request.n_max)
            n_done, counted[request] = n_done + n - counted[request], n
            return n_done, n_most

        return count


@dataclass(frozen=True, slots=True)
class Options:
    """The keywords of a call that are not its method's own, by what they are about."""

    terms: Terms
    drafts: Drafts
    constraint: Constraint | None
    processors: Processors


class Planner:
    """Checks arguments and encodes prompts, as the methods of Model document them.

    Attributes:
        chat_defaults: how `chat` samples.
    """

    def __init__(self, tokenizer: Tokenizer, n_ctx: int, card: ModelCard, path: str) -> None:
        self._tokenizer, self._n_ctx = tokenizer, n_ctx
        self._prompts = PromptEncoder(tokenizer, n_ctx, card.names)
        self._edits = EditEncoder(tokenizer, self._prompts, n_ctx, card.names + card.tags)
        self._recent = RecentInfillings(tokenizer)
        self._grammars = Grammars(tokenizer)
        self.chat_defaults = chat_defaults(card.sampling, path)

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
        sampling = SamplingParams.from_kwargs(**rest)
        prompts, is_list = as_list(prompt)
        how = {"heal": heal, "parse_markers": parse_markers}
        asked = [
            self._prompts.completion(p, f"prompt[{i}]" if is_list else "prompt", **how)
            for i, p in enumerate(prompts)
        ]
        requests = [self._request(p, sampling.of_prompt(i), options) for i, p in enumerate(asked)]
        return Plan(requests, options.terms, report, is_list)

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
        rules, rest = MiddleRules.split(rest)
        sampling = SamplingParams.from_kwargs(**rest)
        asked = self._prompts.infilling(
            prefix, suffix, order=order, heal=heal, repository=repository,
            parse_markers=parse_markers, window=window, force=force,
            max_tokens=sampling.max_tokens,
        )  # fmt: skip
        given = repository or Repository()
        files = tuple(given.files.items()), given.current, given.name
        key = asked.suffix, asked.order, heal, parse_markers, window, rules, sampling, files
        return Plan([self._middle(asked, sampling, rules, options, key)], options.terms, report)

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
        sampling = chat_params(self.chat_defaults, rest)
        asked = self._prompts.chat(messages, format=format, parse_markers=parse_markers)
        return Plan([self._request(asked, sampling, options)], options.terms, report)

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
        return Plan([self._request(asked, sampling, options, finish=finish)], options.terms, report)

    def _split(self, keywords: Mapping[str, Any]) -> tuple[Options, dict[str, Any]]:
        """What a call's keywords ask for, and those that are left: the sampling parameters."""
        terms, rest = Terms.split(keywords)
        drafts, rest = Drafts.split(self._tokenizer, rest)
        constraint, rest = Constraint.split(rest)
        processors, rest = Processors.split(rest)
        return Options(terms, drafts, constraint, processors), rest

    def _middle(
        self,
        asked: InfillPrompt,
        sampling: SamplingParams,
        rules: MiddleRules,
        options: Options,
        key: Hashable,
    ) -> TextRequest:
        """A request for a middle, or a finished one with the rest of an earlier answer."""
        is_fixed = rules.reuse_answer and sampling.is_greedy and sampling.max_tokens > 0
        # A rest that was typed to is no whole answer, and functions may do as they like.
        is_fixed = is_fixed and not (options.constraint or options.processors.functions)
        known = self._recent.rest(key, asked.prefix, len(asked.tokens)) if is_fixed else None
        if known is not None:
            shown = ShownText()
            shown.push(known.text)
            request = self._request(asked, sampling, options, shown=shown, finish=lambda _: known)
            request.finish_reason = known.finish_reason
            return request
        shown, confidence = rules.shown_text(sampling.stop, asked.suffix), rules.make_confidence()

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

        how: dict[str, Any] = {"finish": finish, "shown": shown, "confidence": confidence}
        return self._request(asked, sampling, options, **how)

    def _request(
        self, prompt: EncodedPrompt, params: SamplingParams, options: Options, **more: Any
    ) -> TextRequest:
        drafts = options.drafts
        drafter = Drafter(drafts.prediction or (), drafts.lookup) if drafts.speculate else None
        tokens, taken_back = prompt.tokens, prompt.taken_back
        matcher = None
        if options.constraint is not None:
            try:
                before = b"".join(map(self._tokenizer.token_bytes, taken_back)).decode()
            except UnicodeDecodeError:  # a character's last bytes: no grammar begins with them
                tokens, taken_back, before = [*tokens, *taken_back], (), ""
            matcher = self._grammars.compiled(options.constraint, before).matcher()
        return TextRequest(
            self._tokenizer, tokens, params, self._n_ctx,
            taken_back=taken_back, stop_ids=prompt.stop_ids, drafter=drafter,
            rules=options.processors.rules(tokens), matcher=matcher, **more,
        )  # fmt: skip
