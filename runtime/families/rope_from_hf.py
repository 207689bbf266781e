"""RoPE as config.json states it: where transformers looks for it, and what it makes of it.

Since transformers 5 all of it stands in `rope_parameters`; before in `rope_theta` and
`rope_scaling`. Source: transformers' modeling_rope_utils.py.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from halfbyte.families.config import DEFAULT_THETA, KEYS, MAX_CTX, RopeConfig, Ropes
from halfbyte.families.family import Family
from halfbyte.families.hf_keys import say_unused
from halfbyte.families.hf_reader import Reader
from halfbyte.families.rope import (
    BETA_FAST,
    BETA_SLOW,
    LongRope,
    Temperature,
    Yarn,
    longrope_attention_factor,
    yarn_attention_factor,
)
from halfbyte.lazy_dataclass import dataclass

log = logging.getLogger(__name__)

_NEWER, _OLDER = "rope_parameters", "rope_scaling"
_THETA, _PART, _N_CTX = "rope_theta", "partial_rotary_factor", "original_max_position_embeddings"
_TEMPERATURE, _LOCAL_THETA = "llama_4_scaling_beta", "rope_local_base_freq"
_WINDOW = KEYS["sliding_window"].hf
_OF_FULL, _OF_LOCAL = "full_attention", "sliding_attention"
_COMMON = ("rope_type", "type", _THETA, _PART, _TEMPERATURE)
_SECTIONS, _INTERLEAVED = "mrope_section", "mrope_interleaved"
_USUAL_SECTIONS = [11, 11, 10]  # Qwen3.5's
# Its pairs that are not rotated are divided by so much that they stay what they are.
_PROPORTIONAL, _STILL = "proportional", 1e30
# Kind -> what else it reads.
ROPE_KINDS: Mapping[str, tuple[str, ...]] = {
    "default": (),
    "linear": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", _N_CTX),
    "yarn": ("factor", "attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim",
             "truncate", _N_CTX, "max_position_embeddings"),
    "longrope": ("factor", "attention_factor", "short_factor", "long_factor", _N_CTX),
    _PROPORTIONAL: ("factor",),
}  # fmt: skip
_SPELLINGS = ("su", "yarn")  # that older Phi-3 checkpoints have for longrope


def read_ropes(
    reader: Reader, family: Family, head_dim: int, n_ctx: int, local_dim: int = 0
) -> Ropes:
    """Rotary embedding of all layers, and of those with a window where it is another.

    `local_dim` are the features of these layers' heads, where they are others.

    Raises:
        ConversionError: another kind, numbers out of range, missing ones, or lists of wrong length.
    """
    if family.unrotated_every == 1:
        return Ropes(RopeConfig(DEFAULT_THETA), None, None)  # no layer rotates
    key, rope = stated_rope(reader)
    has_local = family.local_theta is not None and _WINDOW in reader.defaults
    theta: Any = None
    inner: Mapping[str, Any] | None = None
    if has_local:
        theta = reader.config.get(_LOCAL_THETA, family.local_theta or None)
        if _OF_FULL in rope or _OF_LOCAL in rope:
            inner = _nested(reader, key, rope, _OF_LOCAL)
            key, rope = f"{key}.{_OF_FULL}", _nested(reader, key, rope, _OF_FULL)
            kind = inner.get("rope_type", "default")
            if kind != "default":
                raise reader.bad(f"{_OF_LOCAL}.rope_type", "default", kind)
            theta = inner.get(_THETA, theta)
        elif _NEWER in reader.defaults:  # where it stands by kinds of layers, and no other way
            raise reader.bad(key, f"objects {_OF_FULL} and {_OF_LOCAL}", rope)
    one = _One(reader, family, key, rope, head_dim, n_ctx)
    whole = one.read()
    theta = whole.theta if theta is None else theta
    local = RopeConfig(reader.positive(f"{_OF_LOCAL}.{_THETA}", theta))
    if inner is not None and _PART in family.reads:
        n = _One(reader, family, _OF_LOCAL, inner, local_dim or head_dim, n_ctx).n_features()
        local = replace(local, n_features=n or local_dim)
    return Ropes(whole, local if has_local else None, one.temperature())


def _nested(reader: Reader, key: str, rope: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    inner = rope.get(name)
    if not isinstance(inner, dict):
        raise reader.bad(f"{key}.{name}", "an object", inner)
    return inner


@dataclass(frozen=True, slots=True)
class _One:
    """An object that states a kind of RoPE, and where it stands."""

    reader: Reader
    family: Family
    key: str
    rope: Mapping[str, Any]
    head_dim: int
    n_ctx: int

    def read(self) -> RopeConfig:
        reader, key, rope = self.reader, self.key, self.rope
        nested = [name for name, value in rope.items() if isinstance(value, dict)]
        if nested:
            wanted = "the same for all layers: no objects within"
            raise reader.bad(f"{key}.{nested[0]}", wanted, rope[nested[0]])
        kind = rope.get("rope_type", rope.get("type", "default"))
        if kind in _SPELLINGS and "long_factor" in rope:
            kind = "longrope"
        if not isinstance(kind, str) or kind not in ROPE_KINDS:
            *others, last = ROPE_KINDS
            raise reader.bad(f"{key}.rope_type", f"{', '.join(others)} or {last}", kind)
        if kind == _PROPORTIONAL:
            return self._proportional()
        plain = RopeConfig(self._theta(), n_features=self.n_features(), sections=self._sections())
        known = {*_COMMON, *ROPE_KINDS[kind], *self.family.reads & {_SECTIONS, _INTERLEAVED}}
        unused = [name for name in rope if name not in known]
        say_unused(reader.path, f"RoPE of the kind {kind} takes none of it", unused)
        match kind:
            case "linear":
                return replace(plain, factor=self._positive("factor"))
            case "llama3":
                return replace(plain, divisors=self._llama3_divisors(plain.theta))
            case "yarn":
                return self._yarn(plain)
            case "longrope":
                return self._longrope(plain)
        return plain

    def temperature(self) -> Temperature | None:
        """How queries grow with their position."""
        if _TEMPERATURE not in self.family.reads or self.rope.get(_TEMPERATURE) is None:
            return None
        return Temperature(self._positive(_TEMPERATURE), self._n_ctx())

    def _positive(self, name: str, default: float | None = None) -> float:
        value = self.rope.get(name)
        return self.reader.positive(f"{self.key}.{name}", default if value is None else value)

    def _or_nothing(self, name: str) -> float:
        """A number above 0; null and 0 say nothing."""
        value = self.rope.get(name)
        is_nothing = value is None or (value == 0 and not isinstance(value, bool))
        return 0.0 if is_nothing else self._positive(name)

    def _theta(self) -> float:
        if _THETA in self.rope:
            return self.reader.positive(f"{self.key}.{_THETA}", self.rope[_THETA])
        default = self.reader.defaults.get(_THETA, DEFAULT_THETA)
        return self.reader.positive(_THETA, self.reader.config.get(_THETA, default))

    def n_features(self) -> int:
        """Rotated features of a head; 0: all."""
        part: Any = 1
        for name, stated in (
            (_PART, self.reader.value_of(_PART)), (f"{self.key}.{_PART}", self.rope.get(_PART)),
        ):  # fmt: skip
            if stated is None:
                continue
            part = self.reader.positive(name, stated)
            n = int(self.head_dim * part)
            if part > 1 or (part != 1 and _PART not in self.family.reads) or n < 2 or n % 2:
                wanted = "1 (others are not supported)"
                if _PART in self.family.reads:
                    wanted = f"a part of {self.head_dim} features that is an even number of them"
                raise self.reader.bad(name, wanted, stated)
        n = int(self.head_dim * part)
        return 0 if n == self.head_dim else n

    def _sections(self) -> tuple[int, ...]:
        """Pairs that follow each axis of an image; (): positions have one."""
        if _SECTIONS not in self.family.reads:
            return ()
        value = self.rope.get(_SECTIONS, _USUAL_SECTIONS)
        is_list = isinstance(value, list) and len(value) == len(_USUAL_SECTIONS)
        if not is_list or not all(type(n) is int and 0 <= n <= self.head_dim for n in value):
            wanted = f"three whole numbers from 0 to {self.head_dim}"
            raise self.reader.bad(f"{self.key}.{_SECTIONS}", wanted, value)
        return (*value, 0)

    def _proportional(self) -> RopeConfig:
        """Of a head's pairs, the first ones as if all were rotated."""
        n = (self.n_features() or self.head_dim) // 2
        divisors = (1.0,) * n + (_STILL,) * (self.head_dim // 2 - n)
        return RopeConfig(self._theta(), self._positive("factor", 1.0), divisors)

    def _n_ctx(self) -> int:
        """The context before it was stretched: a number beside the object comes first."""
        name, default = f"{self.key}.{_N_CTX}", self.reader.defaults.get(_N_CTX, self.n_ctx)
        beside = self.reader.config.get(_N_CTX)
        value = self.rope.get(_N_CTX, default) if beside is None else beside
        n = self.reader.positive(name, value)
        if not 2 <= n <= MAX_CTX:
            raise self.reader.bad(name, f"a number from 2 to {MAX_CTX}", value)
        return int(n)

    def _yarn(self, plain: RopeConfig) -> RopeConfig:
        n_ctx = self._n_ctx()
        factor = self._positive("factor", self.n_ctx / n_ctx if n_ctx != self.n_ctx else None)
        usual = yarn_attention_factor(factor)
        over, under = (self._or_nothing(name) for name in ("mscale", "mscale_all_dim"))
        if over and under:
            usual = yarn_attention_factor(factor, over) / yarn_attention_factor(factor, under)
        truncates = self.rope.get("truncate", True)
        if truncates is not self.family.truncates_yarn:
            wanted = str(self.family.truncates_yarn).lower()
            raise self.reader.bad(f"{self.key}.truncate", wanted, truncates)
        if plain.theta <= 1:
            raise self.reader.bad(_THETA, "a number above 1, for yarn", plain.theta)
        yarn = Yarn(
            n_ctx,
            self._positive("attention_factor", usual),
            self._positive("beta_fast", BETA_FAST),
            self._positive("beta_slow", BETA_SLOW),
            truncates,
        )
        return replace(plain, factor=factor, yarn=yarn)

    def _longrope(self, plain: RopeConfig) -> RopeConfig:
        n_ctx = self._n_ctx()
        n = (plain.n_features or self.head_dim) // 2
        short, long = (self._list(name, n) for name in ("short_factor", "long_factor"))
        usual = longrope_attention_factor(self._positive("factor", self.n_ctx / n_ctx), n_ctx)
        # As a file holds it.
        attention_factor = float(np.float32(self._positive("attention_factor", usual)))
        return replace(plain, longrope=LongRope(n_ctx, attention_factor, short, long))

    def _list(self, name: str, n: int) -> tuple[float, ...]:
        values, key = self.rope.get(name), f"{self.key}.{name}"
        if not isinstance(values, list) or len(values) != n:
            got = f"{len(values)} of them" if isinstance(values, list) else values
            raise self.reader.bad(key, f"a list of {n} numbers, one for each rotated pair", got)
        return tuple(self.reader.positive(key, value) for value in values)

    def _llama3_divisors(self, theta: float) -> tuple[float, ...]:
        factor, low, high = (
            self._positive(name) for name in ("factor", "low_freq_factor", "high_freq_factor")
        )
        if high <= low:
            wanted = f"a number above low_freq_factor, {low:g}"
            raise self.reader.bad(f"{self.key}.high_freq_factor", wanted, high)
        return _llama3_divisors(theta, self.head_dim, factor, low, high, self._n_ctx())


def stated_rope(reader: Reader) -> tuple[str, Mapping[str, Any]]:
    """The object that counts, and its key: the older one, where it says anything."""
    newer, older = reader.value_of(_NEWER), reader.config.get(_OLDER)
    key, rope = (_OLDER, older) if older else (_NEWER, newer or {})
    if not isinstance(rope, dict):
        raise reader.bad(key, "an object", rope)
    if older and reader.config.get(_NEWER) and older != newer:
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
