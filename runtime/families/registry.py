"""Every family that runs, by GGUF's name. A new one is a file beside this and a name below.

A family's file is imported when it is asked for: a start needs one of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache

from halfbyte.families.config import ModelConfig
from halfbyte.families.family import Family
from halfbyte.families.next_layer import of_next_layer, tensors_of_next
from halfbyte.families.stages import Stage
from halfbyte.families.tensors import TensorSpec
from halfbyte.import_lock import Later, let_forks_wait

_FILES = {
    "llama": Later("halfbyte.families.llama"),
    "qwen2": Later("halfbyte.families.qwen2"),
    "qwen2moe": Later("halfbyte.families.qwen2moe"),
    "qwen3": Later("halfbyte.families.qwen3"),
    "qwen3moe": Later("halfbyte.families.qwen3moe"),
    "qwen3next": Later("halfbyte.families.qwen3next"),
    "qwen35": Later("halfbyte.families.qwen35"),
    "qwen35moe": Later("halfbyte.families.qwen35moe"),
    "mellum": Later("halfbyte.families.mellum"),
    "laguna": Later("halfbyte.families.laguna"),
    "phi3": Later("halfbyte.families.phi3"),
    "smollm3": Later("halfbyte.families.smollm3"),
    "mistral3": Later("halfbyte.families.mistral3"),
    "starcoder2": Later("halfbyte.families.starcoder2"),
    "gemma": Later("halfbyte.families.gemma"),
    "granite": Later("halfbyte.families.granite"),
    "granitemoe": Later("halfbyte.families.granitemoe"),
    "olmo2": Later("halfbyte.families.olmo2"),
    "exaone4": Later("halfbyte.families.exaone4"),
    "cohere2": Later("halfbyte.families.cohere2"),
    "seed_oss": Later("halfbyte.families.seed_oss"),
    "ernie4_5": Later("halfbyte.families.ernie4_5"),
    "ernie4_5-moe": Later("halfbyte.families.ernie4_5moe"),
    "gemma2": Later("halfbyte.families.gemma2"),
    "gemma3": Later("halfbyte.families.gemma3"),
    "gemma4": Later("halfbyte.families.gemma4"),
    "glm4": Later("halfbyte.families.glm4"),
    "glm4moe": Later("halfbyte.families.glm4moe"),
    "apertus": Later("halfbyte.families.apertus"),
    "starcoder": Later("halfbyte.families.starcoder"),
    "gpt-oss": Later("halfbyte.families.gpt_oss"),
    "deepseek2": Later("halfbyte.families.deepseek2"),
    "lfm2": Later("halfbyte.families.lfm2"),
    "lfm2moe": Later("halfbyte.families.lfm2moe"),
    "granitehybrid": Later("halfbyte.families.granitehybrid"),
    "nemotron_h": Later("halfbyte.families.nemotron_h"),
    "nemotron_h_moe": Later("halfbyte.families.nemotron_h_moe"),
}


class _Families(Mapping[str, Family]):
    """By GGUF's name."""

    def __init__(self) -> None:
        self._found = dict[str, Family]()

    def __getitem__(self, architecture: str) -> Family:
        family = self._found.get(architecture)
        if family is None:
            let_forks_wait()
            family = self._found[architecture] = _FILES[architecture].FAMILY
        return family

    def __contains__(self, architecture: object) -> bool:
        return architecture in _FILES

    def __iter__(self) -> Iterator[str]:
        return iter(_FILES)

    def __len__(self) -> int:
        return len(_FILES)


class _ModelTypes(Mapping[str, Family]):
    """By the names that checkpoints have for them; all families are imported for it."""

    @cached_property
    def _of(self) -> dict[str, Family]:
        return {kind: family for family in FAMILIES.values() for kind in family.model_types}

    def __getitem__(self, model_type: str) -> Family:
        return self._of[model_type]

    def __iter__(self) -> Iterator[str]:
        return iter(self._of)

    def __len__(self) -> int:
        return len(self._of)


FAMILIES: Mapping[str, Family] = _Families()
BY_MODEL_TYPE: Mapping[str, Family] = _ModelTypes()


def family_of(config: ModelConfig) -> Family:
    """The family of a model, or of a layer that guesses for one (next_layer.py)."""
    family = FAMILIES[config.architecture]
    return of_next_layer(family) if config.next_layer else family


_N_KNOWN = 4  # a load asks some ten times, of a model and of what guesses for it


@lru_cache(_N_KNOWN)
def stages_of(config: ModelConfig) -> tuple[Stage, ...]:
    """A model's forward pass, in order."""
    return tuple(family_of(config).stages(config))


@lru_cache(_N_KNOWN)
def own_tensors(config: ModelConfig) -> tuple[TensorSpec, ...]:
    """What the model itself takes, in a GGUF file's usual order."""
    return tuple(family_of(config).tensors(config))


def tensors_of(config: ModelConfig, family: Family | None = None) -> list[TensorSpec]:
    """All tensors of a model's file: its own, then those of layers that guess further ahead.

    Another `family` has the names of a checkpoint that becomes a file of an older one.
    """
    own = own_tensors(config) if family is None else family.tensors(config)
    return [*own, *tensors_of_next(family or family_of(config), config)]
