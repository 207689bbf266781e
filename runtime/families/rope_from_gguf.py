"""RoPE as a GGUF file states it, as llama.cpp makes of it.

Where llama.cpp takes no notice of what its converter wrote of a checkpoint (YaRN's attention factor
and betas, in most architectures), the file is believed: then the model computes what it was trained
to. `rope.scaling.attn_factor` comes on top, in both.

Source: llama.cpp's load_hparams (src/llama-model.cpp) and llama_context.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from halfbyte.errors import ModelFileError, UnsupportedModelError
from halfbyte.families.config import (
    DEFAULT_THETA,
    KEYS,
    LOG_MULTIPLIER_KEY,
    MAX_CTX,
    ROTATED_LOCALLY_KEY,
    SECTIONS_KEY,
    TEMPERATURE_KEY,
    RopeConfig,
    Ropes,
)
from halfbyte.families.family import Family
from halfbyte.families.metadata_keys import is_saved
from halfbyte.families.rope import (
    BETA_FAST,
    BETA_SLOW,
    LongRope,
    Temperature,
    Yarn,
    yarn_attention_factor,
)
from halfbyte.families.tensors import ROPE_LONG
from halfbyte.files.file_warnings import warn_about
from halfbyte.gguf.file import GGUFFile
from halfbyte.gguf.metadata import Metadata

log = logging.getLogger(__name__)

_KINDS = ("none", "linear", "yarn", "longrope")
_ROTATED, _LOCAL_THETA = "rope.dimension_count", "rope.freq_base_swa"
_UNSTATED = ("gemma", "gemma2")  # of whose files llama.cpp's converter leaves out the base


def read_ropes(
    file: GGUFFile, family: Family, head_dim: int, n_ctx: int, local_dim: int = 0
) -> Ropes:
    """Rotary embedding of all layers, and of those with a window where it is another.

    `local_dim` are the features of these layers' heads, where they are others.

    Raises:
        ModelFileError: a number is missing, of another type or out of range.
        UnsupportedModelError: another kind, or what the family does not compute.
    """
    m, a, local = file.metadata, family.architecture, None
    if family.unrotated_every == 1:
        return Ropes(RopeConfig(DEFAULT_THETA), None, None)  # no layer rotates
    theta = _theta(m, family)
    n_features = _n_features(m, family, head_dim, _ROTATED)
    plain = RopeConfig(theta, n_features=n_features, sections=_sections(m, family))
    n_ctx = m.get_int(
        f"{a}.rope.scaling.original_context_length", n_ctx, minimum=1, maximum=MAX_CTX
    )
    if family.local_theta is not None:
        key = f"{a}.{_LOCAL_THETA}"
        local = replace(plain, theta=_positive(m, key, family.local_theta or theta))
        if ROTATED_LOCALLY_KEY in family.reads:
            n_features = _n_features(m, family, local_dim or head_dim, ROTATED_LOCALLY_KEY)
            local = replace(local, n_features=n_features or local_dim)
    elif _LOCAL_THETA in family.reads:
        _check_same(m, f"{a}.{_LOCAL_THETA}", theta)
    temperature = 0.0
    if TEMPERATURE_KEY in family.reads:
        temperature = _positive(m, f"{a}.{TEMPERATURE_KEY}", 0.0)
    return Ropes(
        _stretched(file, family, plain, n_ctx),
        local,
        Temperature(temperature, n_ctx) if temperature else None,
    )


def _stretched(file: GGUFFile, family: Family, plain: RopeConfig, n_ctx: int) -> RopeConfig:
    m, a = file.metadata, family.architecture
    scaling = f"{a}.rope.scaling.type"
    kind = m.get_str(scaling, "linear")
    if kind not in _KINDS:
        raise UnsupportedModelError(m.path, scaling, expected=" or ".join(_KINDS), got=kind)
    beyond = _positive(m, f"{a}.rope.scaling.attn_factor", 1.0)
    # Converters of Phi-3 state no type; its tensors do.
    if kind == "longrope" or ROPE_LONG in file.tensors:
        return replace(plain, longrope=LongRope(n_ctx, beyond))
    if kind == "yarn":
        return _yarn(m, family, plain, n_ctx, beyond)
    if beyond != 1:
        key = f"{a}.rope.scaling.attn_factor"
        raise UnsupportedModelError(m.path, key, expected=f"1, for {kind}", got=beyond)
    return plain if kind == "none" else replace(plain, factor=_factor(m, a))


def _yarn(m: Metadata, family: Family, plain: RopeConfig, n_ctx: int, beyond: float) -> RopeConfig:
    a = family.architecture
    factor, at = _factor(m, a), f"{a}.rope.scaling"
    if plain.theta <= 1:
        key = f"{a}.{KEYS['rope_theta'].gguf}"
        raise ModelFileError(m.path, key, expected="above 1, for yarn", got=plain.theta)
    usual = yarn_attention_factor(factor)
    log_multiplier = _positive(m, f"{a}.{LOG_MULTIPLIER_KEY}", 0.0)
    if log_multiplier:
        usual /= yarn_attention_factor(factor, log_multiplier)
    if not is_saved(m, a):
        usual = _positive(m, f"{at}.yarn_attn_factor", usual)
    yarn = Yarn(
        n_ctx,
        usual * beyond,
        _positive(m, f"{at}.yarn_beta_fast", BETA_FAST),
        _positive(m, f"{at}.yarn_beta_slow", BETA_SLOW),
        family.truncates_yarn,
    )
    return replace(plain, factor=factor, yarn=yarn)


def _factor(m: Metadata, a: str) -> float:
    """What positions are divided by; 0 says nothing. Older files have it under another key."""
    key = f"{a}.rope.scaling.factor"
    return _positive(m, key if key in m else f"{a}.rope.scale_linear", 1.0)


def _positive(m: Metadata, key: str, default: float) -> float:
    """A number above 0; 0 says nothing."""
    return m.get_float(key) if m.states(key) else default


def _check_same(m: Metadata, key: str, theta: float) -> None:
    """Layers with a window rotate as the others would, in families without a rope of theirs."""
    local = _positive(m, key, theta)
    if local != theta:
        raise UnsupportedModelError(m.path, key, expected=f"the others' base, {theta:g}", got=local)


def _n_features(m: Metadata, family: Family, head_dim: int, name: str) -> int:
    """Rotated features of a head; 0: all."""
    key = f"{family.architecture}.{name}"
    n = m.get_int(key, head_dim)
    if n == head_dim:
        return 0
    if _ROTATED not in family.reads:
        expected = f"the head dimension, {head_dim}"
        raise UnsupportedModelError(m.path, key, expected=expected, got=n)
    if not 2 <= n < head_dim or n % 2:
        expected = f"an even number up to the head dimension, {head_dim}"
        raise ModelFileError(m.path, key, expected=expected, got=n)
    return n


def _sections(m: Metadata, family: Family) -> tuple[int, ...]:
    """Pairs that follow each axis of an image; (): nothing is said of them."""
    key = f"{family.architecture}.{SECTIONS_KEY}"
    if SECTIONS_KEY not in family.reads or key not in m:
        return ()
    return tuple(m.get_numbers(key, floats=False).tolist())


def _theta(m: Metadata, family: Family) -> float:
    key = f"{family.architecture}.{KEYS['rope_theta'].gguf}"
    theta = m.get_float(key, None)
    if theta is not None:
        return theta
    if family.architecture in _UNSTATED:
        return DEFAULT_THETA
    if family.local_theta:  # the default is the other base that it has
        return m.get_float(key)
    # Converters of August 2023 left it out of Code Llama's files, whose base is 1e6.
    if family.architecture == "llama" and "code" in m.get_str("general.name", "").lower():
        raise ModelFileError(
            m.path,
            key,
            expected="1000000 for Code Llama",
            got="no such key",
            hint="the file was made by an old converter: convert the model again",
        )
    warn_about(log, m.path, "no %s; taking GGUF's default of %g", key, DEFAULT_THETA)
    return DEFAULT_THETA
