"""Every family that runs, by GGUF's name. A new one is a file beside this and a line below."""

from __future__ import annotations

from halfbyte.families import llama, qwen2, qwen2moe, qwen3, qwen3moe
from halfbyte.families.config import ModelConfig
from halfbyte.families.family import Family

FAMILIES: dict[str, Family] = {
    family.architecture: family
    for family in (llama.FAMILY, qwen2.FAMILY, qwen2moe.FAMILY, qwen3.FAMILY, qwen3moe.FAMILY)
}
BY_MODEL_TYPE: dict[str, Family] = {
    model_type: family for family in FAMILIES.values() for model_type in family.model_types
}


def family_of(config: ModelConfig) -> Family:
    """The family of a model."""
    return FAMILIES[config.architecture]
