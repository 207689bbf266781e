"""`generate`, and what goes with it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from halfbyte.call_arguments import check_flag
from halfbyte.errors import RequestError
from halfbyte.hf.answer_plan import Plan, joined, tell_unused
from halfbyte.hf.assistant import Assistant
from halfbyte.hf.batch import import_torch, tensor_type_of
from halfbyte.hf.beam_plan import BeamPlan
from halfbyte.hf.generation import Batch, read_batch
from halfbyte.hf.generation_config import GenerationConfig, config_of
from halfbyte.hf.keywords import GenerateOptions
from halfbyte.hf.peft_adapters import ActiveAdapters
from halfbyte.hf.row_plan import RowPlan
from halfbyte.hf.streamers import check_streamer
from halfbyte.hf.transition_scores import transition_scores
from halfbyte.model import Model

if TYPE_CHECKING:
    from typing_extensions import Unpack
elif sys.version_info >= (3, 11):  # for typing.get_type_hints
    from typing import Unpack


class GeneratingModel:
    """A model that continues rows of token ids."""

    model: Model
    generation_config: GenerationConfig
    assistant: Assistant
    adapters: ActiveAdapters

    def generate(
        self,
        inputs: Any = None,
        generation_config: Any = None,
        *,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        streamer: Any = None,
        tokenizer: Any = None,
        assistant_model: Any = None,
        **parameters: Unpack[GenerateOptions],
    ) -> Any:
        """Continue rows of token ids.

        Args:
            inputs: whole numbers (batch, n), an array, tensor or lists; padding on the left.
            generation_config: a GenerationConfig, ours or transformers'.
            input_ids: another name of `inputs`.
            attention_mask: (batch, n), 0 where `inputs` is padding.
            token_type_ids: may be given and has no effect, as for transformers' Llama.
            streamer: gets the prompt and then each token by `put`, and `end` after the last.
            tokenizer: may be given and is not needed: the model knows its texts.
            assistant_model: guesses what is said; a loaded one or a name, of this vocabulary.
            parameters: GenerationConfig's names, which win over it (docs/transformers.md).

        Returns:
            int64 (batch * num_return_sequences, n + longest answer), an array, or a tensor where
            the inputs are one; rows that are shorter end with `pad_token_id`. With
            `return_dict_in_generate` what outputs.py has.

        Raises:
            RequestError: a name or value that is not supported, or inputs of another shape.
            ContextLengthError: a prompt fills the context. EngineError: the model is closed.
        """
        check_streamer(streamer)
        if inputs is not None and input_ids is not None:
            raise RequestError("input_ids", expected="nothing where inputs are given")
        try:
            config = self.configure(generation_config, parameters)
            ids = input_ids if inputs is None else inputs
            batch = read_batch(ids, attention_mask, config, self.model.config.vocab_size)
            plan = self.plan(batch, config, assistant_model)
            self.run([plan], streamer)
        finally:  # whoever waits for a streamer's text must not wait for ever
            if streamer is not None:
                streamer.end()
        if config.return_dict_in_generate:
            return plan.output()
        return plan.batch.give_back(joined(plan.batch, plan.answers, config))

    def configure(self, stated: Any, parameters: Mapping[str, Any]) -> GenerationConfig:
        """What a call asks for, checked: its parameters over `stated` over the model's own."""
        given = dict(parameters)
        if "eos_token_id" in given and given["eos_token_id"] is None:
            given["eos_token_id"] = []  # nothing ends an answer
        own = GenerationConfig(**given).over(config_of(stated))
        config = own.over(self.generation_config)
        tell_unused(own, config)
        return config

    def plan(self, batch: Batch, config: GenerationConfig, assistant: Any = None) -> Plan:
        """The answers to a batch, to be given to `run`; raises as `generate`."""
        adapter = self.adapters.of_call(config.adapter)
        adapters = self.model.adapters_of(adapter)
        plan: Plan
        if config.get("num_beams") > 1:
            if assistant is not None:
                expected = "none beside num_beams: guesses are for answers without them"
                raise RequestError("assistant_model", expected=expected)
            plan = BeamPlan(self.model, batch, config)
        else:
            has_assistant = self.assistant.use(assistant)
            plan = RowPlan(self.model, batch, config, adapter, has_assistant=has_assistant)
        for request in plan.requests:
            request.go_through(adapters)
        return plan

    def run(self, plans: Sequence[Plan], streamer: Any = None) -> None:
        """Work on plans; raises RequestError where several answers are to be streamed."""
        requests = [request for plan in plans for request in plan.requests]
        if streamer is None:
            self.model.run(requests)
            return
        (plan,) = plans[:1]
        if len(requests) > 1:
            raise RequestError("streamer", expected="a batch of one row", got=len(requests))
        n_put = len(plan.streamed)
        streamer.put(plan.batch.give_back(plan.batch.ids))
        for _ in self.model.follow(requests):
            for token in plan.streamed[n_put:]:
                streamer.put(np.array([token]))
                n_put += 1

    def compute_transition_scores(
        self,
        sequences: Any,
        scores: Any,
        beam_indices: Any = None,
        normalize_logits: bool = False,
    ) -> Any:
        """How likely the tokens of answers were, of what `generate` gave with `output_scores`.

        Args:
            sequences: the answers.
            scores: of each step, (rows, V).
            beam_indices: where beams were searched along.
            normalize_logits: whether `scores` are to be made logarithms of probabilities.

        Returns:
            float32 (answers, longest answer).

        Raises:
            RequestError: not what one call gave.
        """
        check_flag("normalize_logits", normalize_logits)
        made = transition_scores(sequences, scores, beam_indices, normalize=normalize_logits)
        is_torch = tensor_type_of(sequences) == "pt"
        return import_torch("sequences").from_numpy(made) if is_torch else made
