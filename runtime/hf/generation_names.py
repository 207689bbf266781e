"""The names of transformers' generation parameters: what they stand for unsaid, and what is absent.

Source: transformers' GenerationConfig and `generate`, versions 4.46 to 5.23.
"""

from __future__ import annotations

from typing import Any, NamedTuple

# What a name that nobody states stands for.
DEFAULTS: dict[str, Any] = {
    "max_length": 20,
    "min_length": 0,
    "do_sample": False,
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "repetition_penalty": 1.0,
    "num_return_sequences": 1,
    "return_dict_in_generate": False,
    "num_beams": 1,
    "no_repeat_ngram_size": 0,
}
# What counts where tokens are drawn, in transformers' order.
SAMPLING = (
    "temperature", "top_h", "top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff",
)  # fmt: skip
# What counts in a search along beams, with what leaves it off.
BEAMS: dict[str, object] = {
    "num_beam_groups": 1, "diversity_penalty": 0.0, "length_penalty": 1.0, "early_stopping": False,
}  # fmt: skip
OUTPUTS = ("output_scores", "output_logits", "output_hidden_states", "output_attentions")


class Absent(NamedTuple):
    """What leaves a name off that is not to be had here, and what to do instead."""

    off: object
    hint: str


_ENCODER = "there is no encoder: the models here continue their prompt"
_GUESSES = "assistant_model= and prompt_lookup_num_tokens= guess; how is measured"
_CONSTRAINTS = "model.model.complete(..., regex=, grammar=, json_schema=, choices=) constrains"
_NEGATIVE = "compute model(**inputs) for both prompts, or a logits_processor that does"
_CACHE = "generate keeps what it needs, and prompts with the same beginning are not computed again"
ABSENT: dict[str, Absent] = {
    "assistant_early_exit": Absent(None, _GUESSES),
    "assistant_ensemble_weight": Absent(None, _GUESSES),
    "assistant_lookbehind": Absent(10, _GUESSES),
    "assistant_model": Absent(None, "generate takes it, not its configuration"),
    "assistant_tokenizer": Absent(None, "an assistant has to have this model's vocabulary"),
    "constraints": Absent(None, _CONSTRAINTS),
    "custom_generate": Absent(None, "no code of others is run: call it with this model"),
    "decoder_start_token_id": Absent(None, _ENCODER),
    "dola_layers": Absent(None, "model.model.trace(ids, layer_logits=True) has each layer's"),
    "encoder_no_repeat_ngram_size": Absent(0, f"{_ENCODER}; no_repeat_ngram_size counts it too"),
    "encoder_repetition_penalty": Absent(1.0, f"{_ENCODER}; repetition_penalty counts it too"),
    "force_words_ids": Absent(None, _CONSTRAINTS),
    "guidance_scale": Absent(None, _NEGATIVE),
    "inputs_embeds": Absent(None, "token ids are taken: input_ids"),
    "is_assistant": Absent(False, "give it as assistant_model= to the model that it helps"),
    "low_memory": Absent(None, "beams share the memory of what they have in common"),
    "negative_prompt_attention_mask": Absent(None, _NEGATIVE),
    "negative_prompt_ids": Absent(None, _NEGATIVE),
    "past_key_values": Absent(None, _CACHE),
    "penalty_alpha": Absent(None, "repetition_penalty or no_repeat_ngram_size avoid repetitions"),
    "prefill_chunk_size": Absent(None, "long prompts are computed in chunks anyway"),
    "speculation_type": Absent(None, _GUESSES),
    "synced_gpus": Absent(False, "there is one machine, and no GPU"),
    "target_lookbehind": Absent(10, _GUESSES),
    "token_healing": Absent(False, "model.model.complete(text) heals the prompt's end"),
    "use_model_defaults": Absent(None, "what neither call nor config states is the model's own"),
    "use_mtp": Absent(False, _GUESSES),
    "watermarking_config": Absent(None, "logits_processor= takes a WatermarkLogitsProcessor"),
}
# Names that say how transformers computes, not what: any value gives the same here.
WITHOUT_EFFECT = (
    "assistant_confidence_threshold", "cache_config", "cache_implementation", "compile_config",
    "continuous_batching_config", "disable_compile", "max_cache_len", "max_matching_ngram_size",
    "num_assistant_tokens", "num_assistant_tokens_schedule", "return_legacy_cache",
    "transformers_version", "use_cache",
)  # fmt: skip
