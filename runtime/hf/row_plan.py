"""Answers of `generate` that are made token by token: the likeliest ones, or drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halfbyte.errors import RequestError
from halfbyte.generation.params import SamplingParams
from halfbyte.generation.sampling.asked_sampler import sampler_of
from halfbyte.generation.speculation.drafter import Drafter
from halfbyte.hf.answer_plan import Answer, joined, most_tokens
from halfbyte.hf.endings import Endings
from halfbyte.hf.generation import Batch, seeds
from halfbyte.hf.generation_config import GenerationConfig
from halfbyte.hf.generation_names import SAMPLING
from halfbyte.hf.insides import Insides, insides
from halfbyte.hf.outputs import GenerateDecoderOnlyOutput
from halfbyte.hf.processors.processing import Processing
from halfbyte.hf.processors.processor_list import Place, functions_of
from halfbyte.hf.row import Kept, Row
from halfbyte.model import Model


class RowPlan:
    """`num_return_sequences` answers for each prompt, side by side; see Plan.

    Args:
        model: what says them.
        batch: the prompts.
        config: how to say them.
        adapter: what they go through, as `complete` has it.
        has_assistant: whether another model guesses.

    Raises:
        RequestError: values that do not go together, or with this vocabulary.
        ContextLengthError: a prompt fills the context.
    """

    def __init__(
        self,
        model: Model,
        batch: Batch,
        config: GenerationConfig,
        adapter: Any = None,
        *,
        has_assistant: bool = False,
    ) -> None:
        self.batch, self._adapter = batch, adapter
        self._model, self._config = model, config
        n_each = config.get("num_return_sequences")
        if n_each > 1 and not config.get("do_sample"):
            raise RequestError(
                "num_return_sequences", expected="1 without do_sample=True or num_beams",
                got=n_each,
            )  # fmt: skip
        self._n_max = most_tokens(batch, config, model.n_ctx)
        self._endings = Endings.of(config, model.tokenizer)
        self._is_guessed = has_assistant or config.prompt_lookup_num_tokens is not None
        self._asks_model = has_assistant
        n = n_each * len(batch.prompts)
        params = sampling_params(config, n)
        self.requests = [self._row(i, i // n_each, params[i]) for i in range(n)]

    @property
    def answers(self) -> list[Answer]:
        """See Plan."""
        return [Answer(row.prompt, row.tokens) for row in self.requests]

    @property
    def streamed(self) -> Sequence[int]:
        """See Plan."""
        return self.requests[0].tokens

    def output(self) -> GenerateDecoderOnlyOutput:
        """See Plan."""
        config, rows, give_back = self._config, self.requests, self.batch.give_back
        within = self._insides()
        scores, logits = (
            None if kept[0] is None else tuple(map(give_back, _steps(kept)))
            for kept in ([r.kept.scores for r in rows], [r.kept.logits for r in rows])
        )
        return GenerateDecoderOnlyOutput(
            give_back(joined(self.batch, self.answers, config)), scores, logits,
            attentions=within.attentions, hidden_states=within.hidden_states,
        )  # fmt: skip

    def _insides(self) -> Insides:
        config = self._config
        wanted = bool(config.output_hidden_states), bool(config.output_attentions)
        return insides(self._model, self.batch, self.answers, *wanted, self._adapter)

    def _row(self, i: int, of: int, params: SamplingParams) -> Row:
        model, config, batch = self._model, self._config, self.batch
        prompt, given = batch.prompts[of], batch.ids[of].tolist()
        n_vocab = model.config.vocab_size
        place = Place(i, len(given) - len(prompt), len(given), self._n_max, n_vocab)
        functions = functions_of(config, place)
        is_told = bool(functions or self._endings.criteria)
        keeps = bool(config.return_dict_in_generate)
        return Row(
            prompt, model.n_ctx, sampler=sampler_of(model.tokenizer, params, prompt),
            endings=self._endings, n_max=self._n_max,
            kept=Kept(
                scores=keeps and bool(config.output_scores),
                logits=keeps and bool(config.output_logits),
                temperature=None if params.is_greedy else params.temperature,
                is_normalized=bool(config.renormalize_logits),
            ),
            processing=Processing(functions, given) if is_told else None,
            drafter=Drafter(asks_model=self._asks_model) if self._is_guessed else None,
        )  # fmt: skip


def sampling_params(config: GenerationConfig, n: int) -> list[SamplingParams]:
    """Those of n rows, each with a seed of its own; penalties are not the sampler's here."""
    if not config.get("do_sample"):
        return [SamplingParams()] * n
    stated = {name: config.get(name) for name in SAMPLING}
    params = SamplingParams(**{name: v for name, v in stated.items() if v is not None})
    if params.is_greedy:
        raise RequestError(
            "temperature", expected="a number above 0", got=0, hint="do_sample=False is greedy"
        )
    if params.needs_chain:
        params = replace(params, samplers=SAMPLING)
    return [replace(params, seed=seed) for seed in seeds(n)]


def _steps(kept: Sequence[Any]) -> list[NDArray[np.float32]]:
    """Rows' rows (V,) as (rows, V) of each step; zeros behind a row's end."""
    n_steps, n_vocab = max(map(len, kept)), len(kept[0][0])
    out = [np.zeros((len(kept), n_vocab), np.float32) for _ in range(n_steps)]
    for i, row in enumerate(kept):
        for step, values in zip(out, row, strict=False):
            step[i] = values
    return out
