"""The keywords that hf's calls take, for editors and type checkers.

What is checked when a program runs is `generation_config` and `auto_model`: these types name what
has an effect, or is often written. A test compares them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypedDict

from halfbyte.progress import Progress


class GenerateOptions(TypedDict, total=False):
    """What `generate` takes beside inputs; see GenerationConfig."""

    max_length: int | None
    max_new_tokens: int | None
    min_length: int | None
    min_new_tokens: int | None
    max_time: float | None
    stop_strings: str | list[str] | None
    do_sample: bool | None
    temperature: float | None
    top_h: float | None
    top_k: int | None
    top_p: float | None
    min_p: float | None
    typical_p: float | None
    epsilon_cutoff: float | None
    eta_cutoff: float | None
    num_beams: int | None
    num_beam_groups: int | None
    diversity_penalty: float | None
    length_penalty: float | None
    early_stopping: bool | Literal["never"] | None
    repetition_penalty: float | None
    no_repeat_ngram_size: int | None
    bad_words_ids: list[list[int]] | None
    sequence_bias: Mapping[tuple[int, ...], float] | list[Any] | None
    suppress_tokens: list[int] | None
    begin_suppress_tokens: list[int] | None
    forced_bos_token_id: int | None
    forced_eos_token_id: int | list[int] | None
    exponential_decay_length_penalty: tuple[int, float] | None
    remove_invalid_values: bool | None
    renormalize_logits: bool | None
    num_return_sequences: int | None
    return_dict_in_generate: bool | None
    output_scores: bool | None
    output_logits: bool | None
    output_hidden_states: bool | None
    output_attentions: bool | None
    eos_token_id: int | list[int] | None
    pad_token_id: int | None
    bos_token_id: int | None
    prompt_lookup_num_tokens: int | None
    logits_processor: Sequence[Any] | None
    stopping_criteria: Sequence[Any] | None
    prefix_allowed_tokens_fn: Callable[[int, Any], Any] | None
    adapter: Any
    # Of transformers, where there is nothing to choose here.
    cache_implementation: object
    use_cache: bool


class CallOptions(GenerateOptions, total=False):
    """What a pipeline's call takes beside its texts; see TextGenerationPipeline."""

    add_special_tokens: bool
    batch_size: int | None
    clean_up_tokenization_spaces: bool | None
    continue_final_message: bool | None
    documents: Sequence[Mapping[str, Any]] | None
    generation_config: Any
    padding: bool | str
    prefix: str
    return_full_text: bool
    return_tensors: bool
    return_text: bool
    return_type: Literal[0, 1, 2]
    skip_special_tokens: bool
    stop_sequence: str | list[str] | None
    streamer: Any
    tokenizer_encode_kwargs: Mapping[str, Any]
    tools: Sequence[Mapping[str, Any]] | None
    truncation: bool | str


class PipelineOptions(CallOptions, total=False):
    """What `pipeline` takes beside model and tokenizer: of every call, and where to compute."""

    device: Any
    device_map: Any
    dtype: Any
    torch_dtype: Any
    revision: str | None
    token: str | bool | None
    trust_remote_code: bool | None
    use_fast: bool


class ModelOptions(TypedDict, total=False):
    """What CausalLM.from_pretrained takes: `load`'s arguments, and transformers'."""

    threads: int | None
    ctx: int | None
    kv_type: Literal["f16", "f32", "int8", "int4"]
    arithmetic: Literal["int8", "bf16"]
    attention_window: int | None
    attention_sinks: int | None
    type: str | None
    progress: Progress | None
    attn_implementation: str | None
    cache_dir: str | os.PathLike[str] | None
    device_map: Any
    dtype: Any
    force_download: bool
    generation_config: Any
    gguf_file: str | None
    local_files_only: bool
    low_cpu_mem_usage: bool
    revision: str
    subfolder: str
    token: str | bool | None
    torch_dtype: Any
    trust_remote_code: bool
    use_safetensors: bool
