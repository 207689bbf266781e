"""RoPE as config.json states it: where transformers looks for it, and what it makes of it.

Since transformers 5 all of it stands in `rope_parameters`; before in `rope_theta` and
`rope_scaling`. Source: transformers' modeling_rope_utils.py.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

from halfbyte.families.config import DEFAULT_THETA, RopeConfig
from halfbyte.families.hf_keys import say_unused
from halfbyte.families.hf_reader import Reader

log = logging.getLogger(__name__)

_NEWER, _OLDER = "rope_parameters", "rope_scaling"
_THETA, _PART, _N_CTX = "rope_theta", "partial_rotary_factor", "original_max_position_embeddings"
_COMMON = ("rope_type", "type", _THETA, _PART)
# Kind -> what else it reads.
_TAKES: Mapping[str, tuple[str, ...]] = {
    "default": (),
    "linear": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", _N_CTX),
}


def read_rope(reader: Reader, head_dim: int, n_ctx: int) -> RopeConfig:
    """Base, linear factor and divisors.

    Raises:
        ConversionError: another kind, other numbers for some layers, or numbers out of range.
    """
    key, rope = _stated(reader)
    nested = [name for name, value in rope.items() if isinstance(value, dict)]
    if nested:
        wanted = "the same for all layers: no objects within"
        raise reader.bad(f"{key}.{nested[0]}", wanted, rope[nested[0]])
    for name, part in ((_PART, reader.config.get(_PART)), (f"{key}.{_PART}", rope.get(_PART))):
        if part is not None and (isinstance(part, bool) or part != 1):
            raise reader.bad(name, "1 (others are not supported)", part)
    kind = rope.get("rope_type", rope.get("type", "default"))
    if not isinstance(kind, str) or kind not in _TAKES:
        raise reader.bad(f"{key}.rope_type", "default, linear or llama3", kind)
    if _THETA in rope:
        theta = reader.positive(f"{key}.{_THETA}", rope[_THETA])
    else:
        theta = reader.positive(
            _THETA, reader.config.get(_THETA, reader.defaults.get(_THETA, DEFAULT_THETA))
        )
    unused = [name for name in rope if name not in (*_COMMON, *_TAKES[kind])]
    say_unused(reader.path, f"RoPE of the kind {kind} takes none of it", unused)
    if kind == "default":
        return RopeConfig(theta)
    if kind == "linear":
        return RopeConfig(theta, reader.positive(f"{key}.factor", rope.get("factor")))
    # The context before it was stretched: a number beside the object comes first.
    beside = reader.config.get(_N_CTX)
    before = rope.get(_N_CTX, n_ctx) if beside is None else beside
    numbers = {name: rope.get(name) for name in _TAKES[kind]} | {_N_CTX: before}
    checked = {name: reader.positive(f"{key}.{name}", value) for name, value in numbers.items()}
    if checked["high_freq_factor"] <= checked["low_freq_factor"]:
        wanted = f"a number above low_freq_factor, {checked['low_freq_factor']:g}"
        raise reader.bad(f"{key}.high_freq_factor", wanted, checked["high_freq_factor"])
    return RopeConfig(theta, divisors=_llama3_divisors(theta, head_dim, *checked.values()))


def _stated(reader: Reader) -> tuple[str, Mapping[str, Any]]:
    """The object that counts, and its key: the older one, where it says anything."""
    newer, older = reader.config.get(_NEWER), reader.config.get(_OLDER)
    key, rope = (_OLDER, older) if older else (_NEWER, newer or {})
    if not isinstance(rope, dict):
        raise reader.bad(key, "an object", rope)
    if older and newer and older != newer:
        log.warning("%s: %s is taken, as in transformers, not %s", reader.path, _OLDER, _NEWER)
    return key, rope


def _llama3_divisors(
    theta: float, head_dim: int, factor: float, low: float, high: float, n_ctx: float
) -> tuple[float, ...]:
    """Short wavelengths stay, long ones are stretched by the factor, those between partly.

    Source: transformers' _compute_llama3_parameters.
    """
    divisors = []
    for i in range(0, head_dim, 2):
        wavelength = 2 * math.pi * theta ** (i / head_dim)
        smooth = min(max((n_ctx / wavelength - low) / (high - low), 0.0), 1.0)
        divisors.append(1 / ((1 - smooth) / factor + smooth))
    return tuple(divisors)
