"""Answers of `generate` that a beam search finds, with what it looked at on the way."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halfbyte.errors import RequestError
from halfbyte.generation.beams.beam_answers import make_search
from halfbyte.generation.beams.beam_records import BeamRecords
from halfbyte.generation.beams.beam_request import BeamRequest
from halfbyte.generation.beams.beam_search import Hypothesis, Path, Search
from halfbyte.generation.beams.beams import Beams
from halfbyte.generation.completion import FinishReason, Stats
from halfbyte.generation.params import SamplingParams
from halfbyte.generation.records import Records
from halfbyte.generation.rules.rule import ForkingRule
from halfbyte.generation.sampler import F32, F64
from halfbyte.hf.answer_plan import Answer, joined, most_tokens
from halfbyte.hf.endings import Endings
from halfbyte.hf.generation import I64, Batch
from halfbyte.hf.generation_config import GenerationConfig
from halfbyte.hf.generation_names import BEAMS
from halfbyte.hf.outputs import GenerateBeamDecoderOnlyOutput
from halfbyte.hf.processors.processing import Processing
from halfbyte.hf.processors.processor_list import Normalized, Place, functions_of
from halfbyte.model import Model
from halfbyte.tokenizer import Tokenizer

log = logging.getLogger(__name__)

_NEVER = -1e9  # the score of an answer that there is not, as transformers has it
# What a search does not have, with what to do instead.
_REFUSED = {
    "do_sample": "num_return_sequences=n without num_beams draws n answers",
    "prompt_lookup_num_tokens": "guesses are for answers without num_beams",
    "output_hidden_states": "model.model.trace(ids) has those of an answer",
    "output_attentions": "model.model.trace(ids, attentions=True) has those of an answer",
}
_REFUSED_IN_GROUPS = {
    "stopping_criteria": "eos_token_id ends answers of groups",
    "stop_strings": "eos_token_id ends answers of groups",
    "max_time": "max_new_tokens ends answers of groups",
    "output_logits": "model(ids) has the logits behind an answer",
}


class BeamPlan:
    """`num_return_sequences` of the answers that beams find for each prompt; see Plan.

    Args:
        model: what says them.
        batch: the prompts.
        config: how to look for them.

    Raises:
        RequestError: values that do not go together, or with this vocabulary.
        ContextLengthError: a prompt fills the context.
    """

    def __init__(self, model: Model, batch: Batch, config: GenerationConfig) -> None:
        self.batch, self._config = batch, config
        stated = {name: getattr(config, name) for name in BEAMS}
        asked = {name: value for name, value in stated.items() if value is not None}
        self._asked = Beams(num_beams=config.get("num_beams"), **asked)
        self._n_each = config.get("num_return_sequences")
        self._check()
        self._n_max = most_tokens(batch, config, model.n_ctx)
        self._endings = Endings.of(config, model.tokenizer)
        self.requests = [self._request(model, i) for i in range(len(batch.prompts))]

    @property
    def answers(self) -> list[Answer]:
        """See Plan."""
        pairs = zip(self.batch.prompts, self.requests, strict=True)
        return [Answer(prompt, one.tokens) for prompt, r in pairs for one in self._best(r)]

    @property
    def streamed(self) -> Sequence[int]:
        """A search says nothing before its end."""
        raise RequestError(
            "streamer", expected="none with num_beams: no token is certain before the end"
        )

    def output(self) -> GenerateBeamDecoderOnlyOutput:
        """See Plan."""
        config, give_back = self._config, self.batch.give_back
        sequences = give_back(joined(self.batch, self.answers, config))
        totals = scores = logits = indices = None
        if config.output_scores:
            found = [one.score for request in self.requests for one in self._best(request)]
            totals = give_back(np.array(found, np.float32))
        if self._asked.num_beam_groups == 1:
            indices = give_back(self._beam_indices())
            if config.output_scores:
                scores = self._steps(lambda r: r.search.scores)
            if config.output_logits:
                logits = self._steps(lambda r: r.logits)
        return GenerateBeamDecoderOnlyOutput(sequences, totals, scores, logits, indices)

    def _check(self) -> None:
        config, has_groups = self._config, self._asked.num_beam_groups > 1
        for name, hint in (_REFUSED | (_REFUSED_IN_GROUPS if has_groups else {})).items():
            value = getattr(config, name)
            if value:
                beside = "num_beam_groups" if name in _REFUSED_IN_GROUPS else "num_beams"
                raise RequestError(
                    name, expected=f"nothing beside {beside}", got=repr(value), hint=hint
                )
        if self._n_each > self._asked.num_beams:
            expected = f"at most num_beams, {self._asked.num_beams}"
            raise RequestError("num_return_sequences", expected=expected, got=self._n_each)
        if has_groups and config.output_scores:
            log.warning("output_scores: with num_beam_groups there are sequences_scores alone")

    def _request(self, model: Model, i: int) -> KeepingBeamRequest:
        config, batch, prompt = self._config, self.batch, self.batch.prompts[i]
        given = batch.ids[i].tolist()
        n_vocab = model.config.vocab_size
        place = Place(i, len(given) - len(prompt), len(given), self._n_max, n_vocab)
        functions = functions_of(config, place)
        if config.renormalize_logits:
            functions.append(Normalized())
        n_max = min(self._n_max, model.n_ctx - len(prompt))
        if n_max < self._n_max:
            log.warning("the context of %d tokens is full: answers end there", model.n_ctx)
        keeps = bool(config.return_dict_in_generate)

        def ends(path: Path) -> bool:
            ids = [*prompt, *path]
            is_met = self._endings.met(np.array([*given, *path]), None)
            return self._endings.reached(ids) or is_met

        def rules() -> Sequence[ForkingRule]:
            return [Processing(functions, given, may_end=True)] if functions else ()

        is_plain = self._asked.num_beam_groups > 1 or not self._endings.looks_at_more
        search = make_search(
            self._asked, n_max, self._endings.end_ids, config.padding,
            ends_text=None if is_plain else ends,
        )  # fmt: skip
        keeping = KeepingSearch(search, keeps=keeps and bool(config.output_scores))
        return KeepingBeamRequest(
            model.tokenizer, prompt, keeping, n_max, rules,
            keeps_logits=keeps and bool(config.output_logits),
        )  # fmt: skip

    def _best(self, request: KeepingBeamRequest) -> list[Hypothesis]:
        """As many as are wanted; those that were not found say nothing.

        Raises:
            RequestError: none was found.
        """
        found = [self._as_said(one) for one in request.search.best()[: self._n_each]]
        if not found:
            expected = "arguments that leave a token in each step"
            raise RequestError("num_beams", expected=expected, got="no way to go on")
        return found + [Hypothesis((), _NEVER, False)] * (self._n_each - len(found))

    def _as_said(self, one: Hypothesis) -> Hypothesis:
        """Groups say the first end token for each, as in transformers 4.55."""
        if self._asked.num_beam_groups == 1 or not one.is_ended:
            return one
        return replace(one, tokens=(*one.tokens[:-1], self._config.end_ids[0]))

    def _beam_indices(self) -> I64:
        rows = []
        for i, request in enumerate(self.requests):
            begin, search = i * self._asked.num_beams, request.search
            for one in self._best(request):
                n = len(one.tokens)
                rows.append([begin + search.place_of(one.tokens[:at]) for at in range(n)])
        out = np.full((len(rows), max(map(len, rows))), -1, np.int64)
        for made, row in zip(out, rows, strict=True):
            made[: len(row)] = row
        return out

    def _steps(
        self, rows_of: Callable[[KeepingBeamRequest], Sequence[Sequence[F32]]]
    ) -> tuple[Any, ...]:
        """Rows of all beams, (prompts * num_beams, V) of each round."""
        n_beams = self._asked.num_beams
        kept = [rows_of(request) for request in self.requests]
        n_vocab = len(kept[0][0][0])
        steps = []
        for t in range(max(map(len, kept))):
            step: NDArray[np.float32] = np.zeros((len(kept) * n_beams, n_vocab), np.float32)
            for i, rounds in enumerate(kept):
                if t < len(rounds):
                    rows = step[i * n_beams : (i + 1) * n_beams]
                    rows[:] = rounds[t][0] if t == 0 else -np.inf  # they begin alike
                    rows[: len(rounds[t])] = rounds[t]
            steps.append(self.batch.give_back(step))
        return tuple(steps)


class KeepingSearch:
    """A search that keeps what it is told.

    Attributes:
        wanted: see Search.
        rounds: behind which branches it wanted log-probabilities, round by round.
        scores: these, where they are to be kept.
    """

    def __init__(self, search: Search, *, keeps: bool) -> None:
        self._search, self._keeps = search, keeps
        self.wanted = search.wanted
        self.rounds: list[list[Path]] = []
        self.scores: list[list[F32]] = []

    def tell(self, log_probs: Sequence[F64]) -> None:
        """See Search."""
        self.rounds.append(self.wanted)
        if self._keeps:
            self.scores.append([row.astype(np.float32) for row in log_probs])
        self._search.tell(log_probs)
        self.wanted = self._search.wanted

    def best(self) -> list[Hypothesis]:
        """See Search."""
        return self._search.best()

    def place_of(self, path: Path) -> int:
        """Which of the beams of its round a branch was."""
        return self.rounds[len(path)].index(path)


class _Found:
    """What is found as it is; see Answers."""

    def __init__(self, tokenizer: Tokenizer, prompt: Sequence[int]) -> None:
        self.records = BeamRecords(None)
        self.prompt_records = Records(None, tokenizer, None, len(prompt))

    def made(self, found: list[Hypothesis], stats: Stats, cut_by: FinishReason) -> list[Hypothesis]:
        """See Answers."""
        return found


class KeepingBeamRequest(BeamRequest):
    """A beam search as a request, which keeps the model's own logits where they are wanted."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        prompt: Sequence[int],
        search: KeepingSearch,
        n_max: int,
        rules: Callable[[], Sequence[ForkingRule]],
        *,
        keeps_logits: bool,
    ) -> None:
        super().__init__(prompt, SamplingParams(), search, n_max, _Found(tokenizer, prompt), rules)
        self.search = search
        self._by_path: dict[Path, F32] | None = {} if keeps_logits else None

    @property
    def logits(self) -> list[list[F32]]:
        """Those behind each branch, round by round."""
        kept = self._by_path or {}
        return [[kept[path] for path in paths] for paths in self.search.rounds]

    def _log_probs(self, row: F32, path: Path) -> F64:
        if self._by_path is not None:
            self._by_path[path] = row.copy()
        return super()._log_probs(row, path)
