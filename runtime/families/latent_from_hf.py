"""Multi-head latent attention as config.json states it, and how DeepSeek's kinds choose experts.

Source: transformers' classes for deepseek_v2, deepseek_v3, glm4_moe_lite and youtu.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from halfbyte.families.config import (
    KEYS,
    MAX_DIM,
    MIN_HEAD_DIM,
    ExpertsConfig,
    ModelConfig,
    RopeConfig,
)
from halfbyte.families.hf_reader import Reader
from halfbyte.families.latent_config import LatentConfig
from halfbyte.families.rope import yarn_attention_factor
from halfbyte.families.rope_from_hf import stated_rope

_Q_RANK, _SCORING, _METHOD = "q_lora_rank", "scoring_func", "topk_method"
_BY_GROUPS = "group_limited_greedy"


def read_latent(reader: Reader, n_heads: int) -> LatentConfig:
    """The sizes of a model's compressed keys and values.

    Raises:
        ConversionError: a number is missing, out of range, or contradicts another.
    """
    q_rank = reader.config.get(_Q_RANK, reader.defaults.get(_Q_RANK))  # null is none
    latent = LatentConfig(
        0 if q_rank is None else _count(reader, _Q_RANK),
        _count(reader, "kv_lora_rank", MIN_HEAD_DIM),
        _count(reader, "qk_nope_head_dim"),
        _count(reader, "qk_rope_head_dim", 2),
        _count(reader, "v_head_dim"),
    )
    if latent.rope_dim % 2:
        raise reader.bad("qk_rope_head_dim", "an even number", latent.rope_dim)
    for key, wanted in (
        ("head_dim", latent.rope_dim),
        ("qk_head_dim", latent.qk_dim),
        (KEYS["n_kv_heads"].hf, n_heads),
    ):
        stated = reader.config.get(key)
        if stated not in (None, wanted):
            raise reader.bad(key, f"{wanted}, with compressed keys", stated)
    for key in ("attention_multiplier", "query_pre_attn_scalar", "rotary_dim"):
        if reader.config.get(key) is not None:
            raise reader.bad(key, "null, with compressed keys", reader.config[key])
    return latent


def with_latents(reader: Reader, config: ModelConfig, latent: LatentConfig) -> ModelConfig:
    """A configuration with compressed keys, and with what goes along with them.

    Raises:
        ConversionError: positions are stretched, or experts chosen, as it is not computed here.
    """
    latent, rope = _stretched(reader, latent, config.rope)
    experts = config.experts and _settled(reader, config.experts)
    scale = latent.attention_scale(rope.factor)
    return replace(config, latent=latent, rope=rope, attention_scale=scale, experts=experts)


def _stretched(
    reader: Reader, latent: LatentConfig, rope: RopeConfig
) -> tuple[LatentConfig, RopeConfig]:
    """Both with what YaRN does to scores, which GGUF says by one number."""
    rope = replace(rope, n_features=latent.rope_dim)
    key, stated = stated_rope(reader)
    if rope.yarn is None:
        if rope.factor != 1 or rope.stated_factors:
            kind = stated.get("rope_type", stated.get("type"))
            raise reader.bad(f"{key}.rope_type", "default or yarn, with compressed keys", kind)
        return latent, rope
    mscale = stated.get("mscale_all_dim") or 0
    mscale = reader.positive(f"{key}.mscale_all_dim", mscale) if mscale else 0.0
    usual = 1.0 if mscale else yarn_attention_factor(rope.factor)
    if not math.isclose(rope.yarn.attention_factor, usual, rel_tol=1e-6):
        wanted = f"such that cosines and sines are multiplied by {usual:.7g}, as mscale and "
        wanted += "mscale_all_dim do that are equal (others are not supported)"
        raise reader.bad(f"{key}.mscale", wanted, rope.yarn.attention_factor)
    return replace(latent, mscale=mscale), rope


def _settled(reader: Reader, e: ExpertsConfig) -> ExpertsConfig:
    """How experts are chosen, which follows from the kind of the model."""
    scoring = _only(reader, _SCORING)
    if scoring == "sigmoid":
        _only(reader, _METHOD)
    elif reader.value_of(_METHOD) != _BY_GROUPS:
        _only(reader, _METHOD)
        e = replace(e, n_groups=1, n_groups_used=1)
    if scoring == "softmax" and e.normalizes:
        raise reader.bad("norm_topk_prob", "false, for this kind of model", True)
    return replace(e, gating=scoring, n_group_best=2 if scoring == "sigmoid" else 1)


def _only(reader: Reader, key: str) -> Any:
    """A key that may have the kind's own value alone."""
    value, wanted = reader.value_of(key), reader.defaults[key]
    if value != wanted:
        raise reader.bad(key, f"{wanted!r} (others are not supported)", value)
    return value


def _count(reader: Reader, key: str, least: int = 1) -> int:
    value = reader.value_of(key)
    if type(value) is not int or not least <= value <= MAX_DIM:
        raise reader.bad(key, f"a whole number from {least} to {MAX_DIM}", value)
    return value
