"""Rotary embedding and windows as GGUF's metadata: llama.cpp computes the same of them."""

from __future__ import annotations

import math

import gguf

from halfbyte.families.config import (
    KEYS,
    LOG_MULTIPLIER_KEY,
    PATTERN_KEY,
    ROTATED_LOCALLY_KEY,
    TEMPERATURE_KEY,
    WINDOW_KEY,
    ModelConfig,
)
from halfbyte.families.registry import family_of
from halfbyte.families.rope import Yarn, yarn_attention_factor


def add_rotation(meta: gguf.GGUFWriter, c: ModelConfig) -> None:
    """Write what `rope` and all that goes with positions is."""
    meta.add_rope_dimension_count(c.rope.n_features or c.head_dim)
    meta.add_rope_freq_base(c.rope.theta)
    if c.rope.sections:
        meta.add_rope_dimension_sections(list(c.rope.sections))
    if c.rope.longrope is not None:
        meta.add_rope_scaling_type(gguf.RopeScalingType.LONGROPE)
        meta.add_rope_scaling_orig_ctx_len(c.rope.longrope.n_ctx)
        meta.add_rope_scaling_attn_factors(c.rope.longrope.attention_factor)
    elif c.rope.yarn is not None:
        _add_yarn(meta, c.rope.yarn, c.rope.factor, _log_multiplier(c, c.rope.yarn))
    elif c.rope.factor != 1.0:
        meta.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        meta.add_rope_scaling_factor(c.rope.factor)
    if c.local_rope is not None:
        meta.add_float32(f"{c.architecture}.rope.freq_base_swa", c.local_rope.theta)
        if ROTATED_LOCALLY_KEY in family_of(c).reads:
            first = next((i for i, slides in enumerate(c.sliding_layers) if slides), 0)
            n = c.local_rope.n_features or c.head_dim_of(first)
            meta.add_uint32(f"{c.architecture}.{ROTATED_LOCALLY_KEY}", n)
    if c.temperature is not None:
        meta.add_float32(f"{c.architecture}.{TEMPERATURE_KEY}", c.temperature.scale)
    _add_windows(meta, c)


def _log_multiplier(c: ModelConfig, yarn: Yarn) -> float:
    """By whose own factor the usual one is divided; 0: it is not."""
    if c.latent is not None:
        return 0.1 * c.latent.mscale  # a tenth of it, in llama.cpp's words for compressed keys
    return float(LOG_MULTIPLIER_KEY in family_of(c).reads and yarn.attention_factor == 1)


def _add_yarn(meta: gguf.GGUFWriter, yarn: Yarn, factor: float, log_multiplier: float) -> None:
    meta.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    meta.add_rope_scaling_factor(factor)
    meta.add_rope_scaling_orig_ctx_len(yarn.n_ctx)
    meta.add_rope_scaling_yarn_beta_fast(yarn.beta_fast)
    meta.add_rope_scaling_yarn_beta_slow(yarn.beta_slow)
    usual = yarn_attention_factor(factor)
    if log_multiplier:
        meta.add_rope_scaling_yarn_log_mul(log_multiplier)
    # llama.cpp takes the usual factor, whatever a checkpoint says, times what stands here.
    elif not math.isclose(yarn.attention_factor, usual, rel_tol=1e-6):
        meta.add_rope_scaling_attn_factors(yarn.attention_factor / usual)


def _add_windows(meta: gguf.GGUFWriter, c: ModelConfig) -> None:
    family, key = family_of(c), KEYS["sliding_window"].gguf
    if key not in family.reads:
        if c.sliding_window:
            meta.add_uint32(WINDOW_KEY, c.sliding_window)
        return
    if c.sliding_window or not family.full_every:
        meta.add_uint32(f"{c.architecture}.{key}", c.sliding_window)
    is_usual = c.sliding_layers in ((), family.sliding_layers(c.n_layers))
    if family.has_sizes or not is_usual:  # llama.cpp wants to be told
        meta.add_array(f"{c.architecture}.{PATTERN_KEY}", list(c.sliding_layers))
