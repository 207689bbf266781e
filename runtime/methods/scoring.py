"""How likely a model finds given texts: `score` and `perplexity`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from halfbyte.cache_scope import takes_scope
from halfbyte.call_arguments import check_progress, is_whole, literal
from halfbyte.errors import RequestError
from halfbyte.generation.adaptation import LoadedAdapters, applied
from halfbyte.generation.async_call import AsyncCall
from halfbyte.generation.call import Call
from halfbyte.generation.call_keywords import AdapterChoice, ScoreOptions
from halfbyte.generation.scheduler import Scheduler
from halfbyte.generation.score import Perplexity, Score, ScoreRequest
from halfbyte.generation.shared_prompt import SharedPrompt
from halfbyte.generation.terms import Terms
from halfbyte.lazy_dataclass import dataclass
from halfbyte.progress import Progress
from halfbyte.prompt.inputs import Prompt
from halfbyte.prompt.scored import scored_prompt
from halfbyte.tokenizer import Tokenizer

if TYPE_CHECKING:
    from typing_extensions import Unpack
elif sys.version_info >= (3, 11):  # for typing.get_type_hints
    from typing import Unpack

_WINDOW = 512  # llama.cpp's


@dataclass(frozen=True, slots=True)
class _Scoring:
    """Requests, and what their caller gets."""

    requests: list[ScoreRequest]
    terms: Terms
    progress: Progress
    result: Callable[[], Any]


class ScoringModel:
    """A model that says how likely texts are."""

    scheduler: Scheduler
    tokenizer: Tokenizer
    _adapters: LoadedAdapters
    if TYPE_CHECKING:

        @property
        def n_ctx(self) -> int:
            """See Model."""

    @overload
    def score(  # type: ignore[overload-overlap]  # a str is a Sequence[str], but comes first
        self, prompt: Prompt, continuations: Prompt, **options: Unpack[ScoreOptions]
    ) -> Score: ...
    @overload
    def score(
        self, prompt: Prompt, continuations: Iterable[Prompt], **options: Unpack[ScoreOptions]
    ) -> list[Score]: ...
    def score(
        self,
        prompt: Prompt,
        continuations: Prompt | Iterable[Prompt],
        **options: Unpack[ScoreOptions],
    ) -> Score | list[Score]:
        """How likely each continuation is after a prompt, which is computed once.

        Args:
            prompt: text, which may be empty where the vocabulary has a BOS, or token ids.
            continuations: a text, a list of them, of any length, or token ids. A text is encoded
                together with its prompt; see docs/probabilities.md.
            **options: `parse_markers` (see Tokenizer.encode), `progress`, called with
                ("prefill", tokens done, tokens in all), `adapter` as in `complete`, and the fields
                of Terms.

        Returns:
            a list in their order, or of one continuation its Score.

        Raises:
            RequestError: a bad argument; ContextLengthError: one does not fit.
            RequestTimeoutError, EngineError: as `complete`.
        """
        return self._scored(self._scoring(prompt, continuations, **options))

    @overload
    async def ascore(  # type: ignore[overload-overlap]  # as `score`
        self, prompt: Prompt, continuations: Prompt, **options: Unpack[ScoreOptions]
    ) -> Score: ...
    @overload
    async def ascore(
        self, prompt: Prompt, continuations: Iterable[Prompt], **options: Unpack[ScoreOptions]
    ) -> list[Score]: ...
    async def ascore(
        self,
        prompt: Prompt,
        continuations: Prompt | Iterable[Prompt],
        **options: Unpack[ScoreOptions],
    ) -> Any:
        """`score`, awaited."""
        import asyncio

        made = await asyncio.to_thread(self._scoring, prompt, continuations, **options)
        return await self._ascored(made)

    def perplexity(
        self, text: str, *, window: int | None = None, **options: Unpack[ScoreOptions]
    ) -> Perplexity:
        """How well the model predicts a text, as llama.cpp's tool counts it.

        The text, BOS before it, is cut into windows, each of which begins anew, with BOS for its
        first token; those of a window's first half are seen and not counted, nor are those that
        fill no window.

        Args:
            text: of two windows at least.
            window: tokens of each, from 4; by default 512, or the context if that is smaller.
            **options: as of `score`.

        Raises:
            RequestError: a bad argument, or a text that is too short; the rest as `score`.
        """
        result: Perplexity = self._scored(self._windows(text, window, **options))
        return result

    async def aperplexity(
        self, text: str, *, window: int | None = None, **options: Unpack[ScoreOptions]
    ) -> Perplexity:
        """`perplexity`, awaited."""
        import asyncio

        made = await asyncio.to_thread(self._windows, text, window, **options)
        result: Perplexity = await self._ascored(made)
        return result

    @takes_scope
    def _scoring(
        self,
        prompt: Any,
        continuations: Any,
        *,
        parse_markers: bool = False,
        adapter: AdapterChoice = None,
        **how: Any,
    ) -> _Scoring:
        terms = _checked(**how)
        chosen = applied(self._adapters, adapter)
        asked = scored_prompt(
            self.tokenizer, self.n_ctx, prompt, continuations, parse_markers=parse_markers
        )
        requests = list(map(ScoreRequest, asked.texts, asked.n_given))
        for request in requests:
            request.go_through(chosen)
        n_shared = min(asked.n_given, default=1) - 1  # the last one gives the first logits
        if len(requests) > 1 and n_shared:
            SharedPrompt(n_shared, requests)
        for request in requests[1:]:  # of many continuations one is remembered, with the prompt
            request.is_remembered = False

        def result() -> Any:
            scores = [self._score(request) for request in requests]
            return scores if asked.is_list else scores[0]

        return _Scoring(requests, *terms, result)

    @takes_scope
    def _windows(
        self,
        text: str,
        window: int | None,
        *,
        parse_markers: bool = False,
        adapter: AdapterChoice = None,
        **how: Any,
    ) -> _Scoring:
        from halfbyte.quality.texts import half_windows  # with importlib.resources

        terms = _checked(**how)
        chosen = applied(self._adapters, adapter)
        length: object = min(_WINDOW, self.n_ctx) if window is None else window
        if not is_whole(length) or not 4 <= length <= self.n_ctx:
            expected = f"a whole number from 4 to the context, {self.n_ctx}"
            raise RequestError("window", expected=expected, got=literal(window))
        windows = half_windows(self.tokenizer, text, length, parse_markers=parse_markers)
        requests = [ScoreRequest(ids, length // 2 + 1) for ids in windows.tolist()]
        for request in requests:
            request.go_through(chosen)
            request.is_remembered = False

        def result() -> Perplexity:
            losses = -np.concatenate([request.logprobs for request in requests])
            return Perplexity.of(losses, len(requests), length)

        return _Scoring(requests, *terms, result)

    def _score(self, request: ScoreRequest) -> Score:
        n_bytes = sum(len(self.tokenizer.token_bytes(token)) for token in request.scored)
        return Score(request.scored, request.logprobs, n_bytes, request.is_greedy)

    def _scored(self, made: _Scoring) -> Any:
        with Call(self.scheduler, made.requests, made.terms, made.progress, result=_none) as call:
            for _ in call.follow():
                pass
        return made.result()

    async def _ascored(self, made: _Scoring) -> Any:
        call = AsyncCall(self.scheduler, made.requests, made.terms, made.progress, result=_none)
        await call.await_end()
        return made.result()


def _none(cut_by: object) -> None:
    """What there is of numbers that are cut short."""


def _checked(progress: Progress | None = None, **keywords: Any) -> tuple[Terms, Progress]:
    """How it is to be done."""
    terms, rest = Terms.split(keywords)
    for name in rest:
        raise RequestError(name, expected="parse_markers, progress, timeout, priority or adapter")
    if terms.max_time is not None:
        expected = "left out: a part of a score is none"
        raise RequestError("max_time", expected=expected, got=terms.max_time)
    return terms, check_progress(progress)
