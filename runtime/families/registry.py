"""Every family that runs, by GGUF's name. A new one is a file beside this and a line below."""

from __future__ import annotations

from halfbyte.families import (
    apertus,
    cohere2,
    deepseek2,
    ernie4_5,
    ernie4_5moe,
    exaone4,
    gemma,
    gemma2,
    gemma3,
    gemma4,
    glm4,
    glm4moe,
    gpt_oss,
    granite,
    granitehybrid,
    granitemoe,
    laguna,
    lfm2,
    lfm2moe,
    llama,
    mellum,
    mistral3,
    nemotron_h,
    nemotron_h_moe,
    olmo2,
    phi3,
    qwen2,
    qwen2moe,
    qwen3,
    qwen3moe,
    qwen3next,
    qwen35,
    qwen35moe,
    seed_oss,
    smollm3,
    starcoder,
    starcoder2,
)
from halfbyte.families.config import ModelConfig
from halfbyte.families.family import Family
from halfbyte.families.next_layer import of_next_layer, tensors_of_next
from halfbyte.families.tensors import TensorSpec

FAMILIES: dict[str, Family] = {
    module.FAMILY.architecture: module.FAMILY
    for module in (
        llama,
        qwen2,
        qwen2moe,
        qwen3,
        qwen3moe,
        qwen3next,
        qwen35,
        qwen35moe,
        mellum,
        laguna,
        phi3,
        smollm3,
        mistral3,
        starcoder2,
        gemma,
        granite,
        granitemoe,
        olmo2,
        exaone4,
        cohere2,
        seed_oss,
        ernie4_5,
        ernie4_5moe,
        gemma2,
        gemma3,
        gemma4,
        glm4,
        glm4moe,
        apertus,
        starcoder,
        gpt_oss,
        deepseek2,
        lfm2,
        lfm2moe,
        granitehybrid,
        nemotron_h,
        nemotron_h_moe,
    )
}
BY_MODEL_TYPE: dict[str, Family] = {
    model_type: family for family in FAMILIES.values() for model_type in family.model_types
}


def family_of(config: ModelConfig) -> Family:
    """The family of a model, or of a layer that guesses for one (next_layer.py)."""
    family = FAMILIES[config.architecture]
    return of_next_layer(family) if config.next_layer else family


def tensors_of(config: ModelConfig, family: Family | None = None) -> list[TensorSpec]:
    """All tensors of a model's file: its own, then those of layers that guess further ahead.

    Another `family` has the names of a checkpoint that becomes a file of an older one.
    """
    family = family or family_of(config)
    return [*family.tensors(config), *tensors_of_next(family, config)]
