"""A beam search for texts: what may be asked together with it, and the answers it gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from halfbyte.errors import RequestError
from halfbyte.generation.beams.beam_records import BeamRecords
from halfbyte.generation.beams.beam_request import BeamRequest
from halfbyte.generation.beams.beam_search import BeamSearch, EndsText, Hypothesis, Search
from halfbyte.generation.beams.beams import Beams
from halfbyte.generation.beams.branch_texts import BranchText, BranchTexts
from halfbyte.generation.beams.group_search import GroupSearch
from halfbyte.generation.completion import Completion, FinishReason, Stats
from halfbyte.generation.params import SamplingParams
from halfbyte.generation.probabilities import TokenLogprob
from halfbyte.generation.recorder import Recording
from halfbyte.generation.records import Records
from halfbyte.generation.rules.rule import ForkingRule
from halfbyte.generation.shown_text import ShownText
from halfbyte.lazy_dataclass import dataclass
from halfbyte.tokenizer import Tokenizer
from halfbyte.tokenizer.detokenizer import StreamDetokenizer


@dataclass(frozen=True, slots=True)
class BeamText:
    """What one answer of a search is made with.

    Attributes:
        shown: takes its text.
        finish: makes what the caller gets of its completion.
    """

    shown: ShownText
    finish: Callable[[Completion], Any] = lambda done: done


class BeamAnswers:
    """Makes what the caller gets of hypotheses; see beam_request about the arguments.

    Attributes:
        records: takes the probabilities of branches' tokens.
        prompt_records: takes those of the prompt's.
        ends_text: whether a branch ends by what it says; None where none does.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        prompt: Sequence[int],
        end_ids: frozenset[int],
        full: FinishReason,
        make_text: Callable[[], BeamText],
        accepts: Callable[[str], bool] | None,
        recording: Recording | None,
    ) -> None:
        self._tokenizer, self._prompt, self._end_ids = tokenizer, list(prompt), end_ids
        self._full: FinishReason = full
        self._make_text, self._accepts, self._recording = make_text, accepts, recording
        self.records = BeamRecords(recording)
        self.prompt_records = Records(recording, tokenizer, None, len(prompt))
        may_end = make_text().shown.may_end
        self.ends_text = BranchTexts(self._text).is_over if may_end else None

    def made(self, found: list[Hypothesis], stats: Stats, cut_by: FinishReason) -> list[Any]:
        """See Answers."""
        reason = self._full if cut_by == "length" else cut_by
        return [self._made(one, stats, reason) for one in found or [_NOTHING]]

    def _made(self, one: Hypothesis, stats: Stats, reason: FinishReason) -> Any:
        has_end = one.is_ended and one.tokens[-1] in self._end_ids
        tokens = list(one.tokens[:-1] if has_end else one.tokens)
        text, echoed = self._make_text(), self.prompt_records.echoed
        if self._say(tokens, text.shown):
            reason = text.shown.ended_by
        elif one.is_ended:  # without an end token by the clock, which is not asked again
            reason = "stop" if has_end else "time"
        done = Completion(
            text=echoed + text.shown.text,
            tokens=[*self._prompt, *tokens] if echoed else tokens,
            finish_reason=reason,
            stats=replace(stats), score=one.score,
            logprobs=self._logprobs(one, tokens),
            prompt_logprobs=self.prompt_records.told_of_prompt(self._prompt),
            is_complete=None if self._accepts is None else self._accepts(text.shown.text),
            stop_text=text.shown.stop_text,
        )  # fmt: skip
        return text.finish(done)

    def _say(self, tokens: Sequence[int], shown: ShownText) -> bool:
        """Show the text of these; whether it ends by what it says."""
        spelling = StreamDetokenizer(self._tokenizer)
        if any(shown.push(spelling.push(token)) for token in tokens):
            return True
        if shown.push(spelling.flush()):
            return True
        shown.finish()
        return False

    def _logprobs(self, one: Hypothesis, tokens: Sequence[int]) -> list[TokenLogprob] | None:
        if self._recording is None:
            return None
        taken = self.records.of(one.tokens)[: len(tokens)]
        teller = self._recording.teller(self._tokenizer, b"")
        return self._recording.of_answer(teller, self._prompt, tokens, taken)

    def _text(self) -> BranchText:
        return BranchText(StreamDetokenizer(self._tokenizer), self._make_text().shown)


_NOTHING = Hypothesis((), 0.0, False)  # of a search that was cut before its first step


def make_search(
    asked: Beams,
    n_max: int,
    end_ids: frozenset[int],
    padding: int,
    ends_text: EndsText | None = None,
) -> Search:
    """The search that is asked for; see GroupSearch about `padding`."""
    if asked.num_beam_groups > 1:
        return GroupSearch(asked, n_max, end_ids, padding, ends_text)
    return BeamSearch(asked, n_max, end_ids, ends_text)


def beam_request(
    tokenizer: Tokenizer,
    prompt: Sequence[int],
    params: SamplingParams,
    n_ctx: int,
    asked: Beams,
    *,
    stop_ids: frozenset[int] = frozenset(),
    make_rules: Callable[[], Sequence[ForkingRule]] = tuple,
    make_text: Callable[[], BeamText] | None = None,
    accepts: Callable[[str], bool] | None = None,
    recording: Recording | None = None,
) -> BeamRequest:
    """A search for the answers to a prompt, whose result is a list of completions, the best first.

    Args:
        tokenizer: whose ids they are.
        prompt: what the model sees first.
        params: when to stop, and the penalties.
        n_ctx: most tokens of prompt and answer together.
        asked: how to search.
        stop_ids: end an answer besides the tokenizer's and the caller's.
        make_rules: see BeamRequest.
        make_text: what each answer's text is taken by; by default with the stops of `params`.
        accepts: whether a text is all that it has to be; None where nothing says so.
        recording: what is wanted of probabilities.

    Raises:
        RequestError: parameters that a beam search does not have.
    """
    _check(params, tokenizer.n_vocab)
    end_ids = tokenizer.eog_ids | stop_ids | frozenset(params.stop_tokens)
    n_max = min(params.max_tokens, n_ctx - len(prompt))
    full: FinishReason = "length" if n_max == params.max_tokens else "context"
    make_text = make_text or (lambda: BeamText(ShownText(params.stop)))
    answers = BeamAnswers(tokenizer, prompt, end_ids, full, make_text, accepts, recording)
    padding = min(end_ids, default=0) if tokenizer.eos_id is None else tokenizer.eos_id
    search = make_search(asked, n_max, end_ids, padding, answers.ends_text)
    request = BeamRequest(prompt, params, search, n_max, answers, make_rules)
    request.ends = tokenizer.eog_ids
    return request


def _check(params: SamplingParams, n_vocab: int) -> None:
    what = "with num_beams"
    if not params.is_greedy:
        raise RequestError(
            "temperature", expected=f"0 {what}: nothing is drawn", got=params.temperature,
            hint="n= draws several answers",
        )  # fmt: skip
    for name, off in (("dry_multiplier", 0.0), ("penalty_window", None)):
        if getattr(params, name) != off:
            raise RequestError(name, expected=f"left out {what}", got=getattr(params, name))
    if not params.max_tokens:
        raise RequestError("max_tokens", expected=f"a whole number from 1 {what}", got=0)
    for token in params.stop_tokens:
        if token >= n_vocab:
            raise RequestError("stop_tokens", expected=f"ids below {n_vocab}", got=token)
