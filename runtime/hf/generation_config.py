"""What `generate` is told: transformers' names, each supported or refused, none ignored.

Where nobody states a value, the model's own generation_config.json does, and after that DEFAULTS.

Source: transformers' GenerationConfig, versions 4.46 to 5.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from halfbyte.call_arguments import check_path
from halfbyte.errors import MissingFileError, RequestError
from halfbyte.hf.arguments import check_count, is_same
from halfbyte.hf.batch import to_lists
from halfbyte.hf.logits_processors import check_processors
from halfbyte.json_folder import JSONFolder
from halfbyte.tokenizer.tokenizer import check_text

FILE = "generation_config.json"

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
}
SAMPLING = ("temperature", "top_k", "top_p", "min_p")

# Names of transformers that are not to be had here, with the value that leaves them off.
_ABSENT: dict[str, object] = {
    "assistant_confidence_threshold": 0.4, "assistant_early_exit": None,
    "assistant_lookbehind": 10, "assistant_model": None, "assistant_tokenizer": None,
    "bad_words_ids": None, "begin_suppress_tokens": None, "constraints": None,
    "custom_generate": None, "decoder_start_token_id": None, "diversity_penalty": 0.0,
    "dola_layers": None, "early_stopping": False, "encoder_no_repeat_ngram_size": 0,
    "encoder_repetition_penalty": 1.0, "epsilon_cutoff": 0.0, "eta_cutoff": 0.0,
    "exponential_decay_length_penalty": None, "force_words_ids": None,
    "forced_bos_token_id": None, "forced_eos_token_id": None, "guidance_scale": None,
    "inputs_embeds": None, "is_assistant": False, "length_penalty": 1.0,
    "low_memory": None, "max_matching_ngram_size": None, "max_time": None,
    "negative_prompt_attention_mask": None, "negative_prompt_ids": None,
    "no_repeat_ngram_size": 0, "num_assistant_tokens": 20,
    "num_assistant_tokens_schedule": "constant", "num_beam_groups": 1, "num_beams": 1,
    "output_attentions": False, "output_hidden_states": False, "output_logits": False,
    "output_scores": False, "past_key_values": None, "penalty_alpha": None,
    "prefill_chunk_size": None, "prefix_allowed_tokens_fn": None,
    "prompt_lookup_num_tokens": None, "remove_invalid_values": False,
    "renormalize_logits": False, "sequence_bias": None, "stopping_criteria": None,
    "suppress_tokens": None, "synced_gpus": None, "target_lookbehind": 10, "token_healing": False,
    "top_h": None, "typical_p": 1.0, "use_cache": True, "use_model_defaults": None,
    "use_mtp": False, "watermarking_config": None,
}  # fmt: skip
_LISTS = ("stopping_criteria",)  # an empty one leaves them off too
# Names that say how transformers computes, not what: any value gives the same here.
_WITHOUT_EFFECT = (
    "cache_config", "cache_implementation", "compile_config", "disable_compile",
    "return_legacy_cache", "transformers_version",
)  # fmt: skip


@dataclass(slots=True)
class GenerationConfig:
    """How `generate` continues a prompt; None is a value that nobody states.

    Attributes:
        max_length: most tokens of prompt and answer together.
        max_new_tokens: most tokens of an answer; goes before `max_length`.
        min_length: no end token before prompt and answer have so many tokens.
        min_new_tokens: the same for the answer alone; goes before `min_length`.
        do_sample: draw tokens instead of taking the most likely one.
        temperature, top_k, top_p, min_p: see SamplingParams; only with `do_sample`.
        repetition_penalty: see SamplingParams.
        num_return_sequences: answers per prompt.
        stop_strings: texts that end an answer, with the token that completes one.
        eos_token_id: tokens that end an answer, one or several.
        pad_token_id: what stands behind an answer that is shorter than others.
        bos_token_id: the prompt where none is given.
        return_dict_in_generate: an object with `sequences` instead of the array.
        logits_processor: what changes the logits (logits_processors.py); transformers has it
            beside its config.

    Raises:
        RequestError: a value has the wrong type or range.
    """

    max_length: int | None = None
    max_new_tokens: int | None = None
    min_length: int | None = None
    min_new_tokens: int | None = None
    do_sample: bool | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    num_return_sequences: int | None = None
    stop_strings: str | list[str] | None = None
    eos_token_id: int | list[int] | None = None
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    return_dict_in_generate: bool | None = None
    logits_processor: Sequence[Any] | None = None

    def __post_init__(self) -> None:
        for name in ("max_length", "max_new_tokens", "num_return_sequences"):
            check_count(name, getattr(self, name), 1)
        for name in ("min_length", "min_new_tokens", "top_k", "pad_token_id", "bos_token_id"):
            check_count(name, getattr(self, name), 0)
        for name in ("do_sample", "return_dict_in_generate"):
            if not isinstance(getattr(self, name), (bool, type(None))):
                raise RequestError(name, expected="True or False", got=getattr(self, name))
        self.eos_token_id = _check_ids(self.eos_token_id)
        self.logits_processor = check_processors(self.logits_processor)
        _check_strings(self.stop_strings)

    @classmethod
    def read(cls, stated: Mapping[str, Any]) -> GenerationConfig:
        """What these names and values ask for, checked; names of transformers may be left off."""
        known = {field.name for field in fields(cls)}
        chosen = {}
        for name, value in stated.items():
            if name in known:
                chosen[name] = value
            elif not name.startswith("_") and name not in _WITHOUT_EFFECT:
                _check_absent(name, value, known)
        return cls(**chosen)

    @classmethod
    def from_pretrained(cls, path: str | os.PathLike[str]) -> GenerationConfig:
        """A folder's generation_config.json; raises ModelFileError where it cannot be read."""
        file = Path(check_path("path", path)) / FILE
        if not file.is_file():
            raise MissingFileError(file, expected="a file", got="none")
        return cls.read(JSONFolder(file.parent).read_json(FILE) or {})

    def to_dict(self) -> dict[str, Any]:
        """The names and values that somebody states."""
        named = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: value for name, value in named if value is not None}

    def over(self, weaker: GenerationConfig) -> GenerationConfig:
        """The same, with `weaker`'s values where it states none."""
        return replace(weaker, **self.to_dict())

    def get(self, name: str) -> Any:
        """A value, or what it stands for where nobody states it."""
        value = getattr(self, name)
        return DEFAULTS.get(name) if value is None else value


def config_of(value: object) -> GenerationConfig:
    """What a caller passed as `generation_config`, ours, transformers' or a mapping, checked."""
    if value is None:
        return GenerationConfig()
    if isinstance(value, GenerationConfig):
        return value
    if isinstance(value, Mapping):
        return GenerationConfig.read(value)
    to_dict = getattr(value, "to_dict", None)
    if to_dict is None:
        raise RequestError("generation_config", expected="a GenerationConfig", got=value)
    return GenerationConfig.read(to_dict())


def _check_absent(name: str, value: object, known: Iterable[str]) -> None:
    if name not in _ABSENT:
        near = difflib.get_close_matches(name, [*known, *_ABSENT], n=1, cutoff=0.6)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
        raise RequestError(name, expected="the name of a generation parameter", hint=hint)
    if name in _LISTS and isinstance(value, (list, tuple)) and not value:
        return
    if value is not None and not is_same(value, _ABSENT[name]):
        raise RequestError(
            name, expected=f"{_ABSENT[name]!r} (halfbyte has no other)", got=repr(value)
        )


def _check_ids(value: Any) -> int | list[int] | None:
    ids = value.tolist() if hasattr(value, "tolist") else value
    for item in ids if isinstance(ids, (list, tuple)) else [ids]:
        check_count("eos_token_id", item, 0)
    return to_lists(ids)


def _check_strings(value: object) -> None:
    if value is None:
        return
    for item in value if isinstance(value, (list, tuple)) else [value]:
        if not isinstance(item, str) or not item:
            raise RequestError("stop_strings", expected="texts that are not empty", got=item)
        check_text(item, "stop_strings")
