"""What `generate` is told: transformers' names, each supported or refused, none ignored.

Where nobody states a value, the model's own generation_config.json does, and after that DEFAULTS.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from halfbyte.call_arguments import check_path
from halfbyte.errors import MissingFileError, RequestError
from halfbyte.files.json_folder import JSONFolder
from halfbyte.hf.arguments import is_same
from halfbyte.hf.generation_checks import checked
from halfbyte.hf.generation_names import ABSENT, DEFAULTS, WITHOUT_EFFECT
from halfbyte.hf.keywords import GenerateOptions
from halfbyte.lazy_dataclass import dataclass

if TYPE_CHECKING:
    from typing_extensions import Unpack
elif sys.version_info >= (3, 11):  # for typing.get_type_hints
    from typing import Unpack

FILE = "generation_config.json"


@dataclass(slots=True, init=False)
class GenerationConfig:
    """How `generate` continues a prompt; None is a value that nobody states.

    Names, meanings and defaults are transformers' (docs/transformers.md has a table of them).
    `adapter` is halfbyte's own; it, the last four and `logits_processor` stand beside the
    configuration in transformers.

    Attributes:
        max_length: most tokens of prompt and answer together.
        max_new_tokens: most tokens of an answer; goes before `max_length`.
        eos_token_id: tokens that end an answer, one or several.
        pad_token_id: what stands behind an answer that is shorter than others.
        bos_token_id: the prompt where none is given.
        prompt_lookup_num_tokens: any number has answers guessed from the prompt, as many tokens at
            a time as pay; it changes nothing in what is said.
        adapter: a loaded adapter's name, a pair of name and scale, or a list of these.

    Raises:
        RequestError: a value has the wrong type or range.
    """

    max_length: int | None = None
    max_new_tokens: int | None = None
    min_length: int | None = None
    min_new_tokens: int | None = None
    max_time: float | None = None
    stop_strings: str | list[str] | None = None
    do_sample: bool | None = None
    temperature: float | None = None
    top_h: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    typical_p: float | None = None
    epsilon_cutoff: float | None = None
    eta_cutoff: float | None = None
    num_beams: int | None = None
    num_beam_groups: int | None = None
    diversity_penalty: float | None = None
    length_penalty: float | None = None
    early_stopping: bool | Literal["never"] | None = None
    repetition_penalty: float | None = None
    no_repeat_ngram_size: int | None = None
    bad_words_ids: list[list[int]] | None = None
    sequence_bias: Mapping[tuple[int, ...], float] | list[Any] | None = None
    suppress_tokens: list[int] | None = None
    begin_suppress_tokens: list[int] | None = None
    forced_bos_token_id: int | None = None
    forced_eos_token_id: int | list[int] | None = None
    exponential_decay_length_penalty: tuple[int, float] | None = None
    remove_invalid_values: bool | None = None
    renormalize_logits: bool | None = None
    num_return_sequences: int | None = None
    return_dict_in_generate: bool | None = None
    output_scores: bool | None = None
    output_logits: bool | None = None
    output_hidden_states: bool | None = None
    output_attentions: bool | None = None
    eos_token_id: int | list[int] | None = None
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    prompt_lookup_num_tokens: int | None = None
    logits_processor: Sequence[Any] | None = None
    stopping_criteria: Sequence[Any] | None = None
    prefix_allowed_tokens_fn: Callable[[int, Any], Any] | None = None
    adapter: Any = None

    def __init__(self, **stated: Unpack[GenerateOptions]) -> None:
        """What these names and values ask for, checked; names of transformers may be left off."""
        known = [field.name for field in fields(self)]
        for name in known:
            setattr(self, name, checked(name, stated.get(name)))
        for name, value in stated.items():
            if name not in known and not name.startswith("_") and name not in WITHOUT_EFFECT:
                _check_absent(name, value, known)

    @classmethod
    def from_pretrained(cls, path: str | os.PathLike[str]) -> GenerationConfig:
        """A folder's generation_config.json; raises ModelFileError where it cannot be read."""
        file = Path(check_path("path", path)) / FILE
        if not file.is_file():
            raise MissingFileError(file, expected="a file", got="none")
        return cls(**JSONFolder(file.parent).read_json(FILE) or {})

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

    @property
    def end_ids(self) -> list[int]:
        """The tokens that end an answer; the first one pads where nothing else does."""
        ids = self.eos_token_id
        return [] if ids is None else ids if isinstance(ids, list) else [ids]

    @property
    def padding(self) -> int:
        """What stands behind an answer that is shorter than others."""
        return next(iter(self.end_ids), 0) if self.pad_token_id is None else self.pad_token_id


def config_of(value: object) -> GenerationConfig:
    """What a caller passed as `generation_config`, ours, transformers' or a mapping, checked."""
    if value is None:
        return GenerationConfig()
    if isinstance(value, GenerationConfig):
        return value
    if isinstance(value, Mapping):
        return GenerationConfig(**value)
    to_dict = getattr(value, "to_dict", None)
    if to_dict is None:
        raise RequestError("generation_config", expected="a GenerationConfig", got=value)
    return GenerationConfig(**to_dict())


def _check_absent(name: str, value: object, known: Iterable[str]) -> None:
    if name not in ABSENT:
        near = difflib.get_close_matches(name, [*known, *ABSENT], n=1, cutoff=0.6)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
        raise RequestError(name, expected="the name of a generation parameter", hint=hint)
    off, hint = ABSENT[name]
    if value is not None and not is_same(value, off):
        expected = f"{off!r} (halfbyte has no other)"
        raise RequestError(name, expected=expected, got=repr(value), hint=hint)
