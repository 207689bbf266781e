"""A beam search for texts: what may be asked together with it, and the answers it gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from halfbyte.errors import RequestError
from halfbyte.generation.beams.beam_request import BeamRequest
from halfbyte.generation.beams.beam_search import BeamSearch, Hypothesis, Path, Search
from halfbyte.generation.beams.beams import Beams
from halfbyte.generation.beams.group_search import GroupSearch
from halfbyte.generation.completion import Completion, FinishReason, Stats
from halfbyte.generation.params import SamplingParams
from halfbyte.generation.rules.rule import Rule
from halfbyte.tokenizer import Tokenizer
from halfbyte.tokenizer.detokenizer import StreamDetokenizer


def make_search(
    asked: Beams,
    n_max: int,
    end_ids: frozenset[int],
    padding: int,
    ends: Callable[[Path], bool] | None = None,
) -> Search:
    """The search that is asked for; see GroupSearch about `padding`, BeamSearch about `ends`."""
    if asked.num_beam_groups > 1:
        return GroupSearch(asked, n_max, end_ids, padding)
    return BeamSearch(asked, n_max, end_ids, ends)


def beam_request(
    tokenizer: Tokenizer,
    prompt: Sequence[int],
    params: SamplingParams,
    n_ctx: int,
    asked: Beams,
    stop_ids: frozenset[int] = frozenset(),
    make_rules: Callable[[], Sequence[Rule]] = tuple,
    make: Callable[[Completion], Any] = lambda done: done,
    accepts: Callable[[str], bool] | None = None,
) -> BeamRequest:
    """A search for the answers to a prompt, whose result is a list of completions, the best first.

    See BeamRequest about `make_rules`; `make` makes what the caller gets of each, and `accepts`
    says whether a text is all that it has to be.

    Raises:
        RequestError: parameters that a beam search does not have.
    """
    _check(params, tokenizer.n_vocab)
    end_ids = tokenizer.eog_ids | stop_ids | frozenset(params.stop_tokens)
    padding = min(end_ids, default=0) if tokenizer.eos_id is None else tokenizer.eos_id
    n_max = min(params.max_tokens, n_ctx - len(prompt))
    full: FinishReason = "length" if n_max == params.max_tokens else "context"

    def finish(found: list[Hypothesis], stats: Stats, cut_by: FinishReason) -> list[Any]:
        reason = full if cut_by == "length" else cut_by
        done = [_completion(tokenizer, one, stats, reason) for one in found or [_NOTHING]]
        if accepts is not None:
            done = [replace(one, is_complete=accepts(one.text)) for one in done]
        return [make(one) for one in done]

    search = make_search(asked, n_max, end_ids, padding)
    return BeamRequest(prompt, params, search, n_max, finish, make_rules)


_NOTHING = Hypothesis((), 0.0, False)  # of a search that was cut before its first step


def _completion(
    tokenizer: Tokenizer, found: Hypothesis, stats: Stats, reason: FinishReason
) -> Completion:
    text = StreamDetokenizer(tokenizer)
    tokens = list(found.tokens[:-1] if found.is_ended else found.tokens)
    pieces = [*map(text.push, tokens), text.flush()]
    return Completion(
        text="".join(pieces), tokens=tokens, finish_reason="stop" if found.is_ended else reason,
        stats=replace(stats), score=found.score,
    )  # fmt: skip


def _check(params: SamplingParams, n_vocab: int) -> None:
    what = "with num_beams"
    if not params.is_greedy:
        raise RequestError(
            "temperature", expected=f"0 {what}: nothing is drawn", got=params.temperature,
            hint="n= draws several answers",
        )  # fmt: skip
    if params.stop:
        raise RequestError(
            "stop", expected=f"no texts {what}: answers end at tokens", got=list(params.stop),
            hint="stop_tokens= has ids",
        )  # fmt: skip
    for name, off in (("dry_multiplier", 0.0), ("penalty_window", None)):
        if getattr(params, name) != off:
            raise RequestError(name, expected=f"left out {what}", got=getattr(params, name))
    if not params.max_tokens:
        raise RequestError("max_tokens", expected=f"a whole number from 1 {what}", got=0)
    for token in params.stop_tokens:
        if token >= n_vocab:
            raise RequestError("stop_tokens", expected=f"ids below {n_vocab}", got=token)
