"""A model's configuration as config.json states it, as transformers 4 or 5 writes it.

Keys that are absent have the default that the model's class of transformers has; anything
that would change the model's arithmetic and is not supported yet is an error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from halfbyte.errors import ConversionError
from halfbyte.families.config import (
    DEFAULT_THETA,
    KEYS,
    MAX_CTX,
    MAX_DIM,
    MAX_LAYERS,
    MAX_VOCAB,
    MIN_HEAD_DIM,
    ModelConfig,
    RopeConfig,
)
from halfbyte.families.registry import BY_MODEL_TYPE

_LEAST, _LARGEST = (float(x) for x in (np.finfo(np.float32).tiny, np.finfo(np.float32).max))
# Hyperparameter -> the largest number of it; of the others MAX_DIM.
_MOST = {
    "n_layers": MAX_LAYERS, "vocab_size": MAX_VOCAB, "n_ctx_train": MAX_CTX,
    "sliding_window": MAX_CTX,
}  # fmt: skip


def config_from_hf(path: Path, config: dict[str, Any]) -> ModelConfig:
    """Check and translate config.json; `path` is its folder.

    Raises:
        ConversionError: a key is missing, mistyped or out of range, or asks for what is not
            supported.
    """
    kind = config.get("model_type")
    family = BY_MODEL_TYPE.get(kind) if isinstance(kind, str) else None
    reader = _Reader(path / "config.json", config, {})
    if family is None:
        raise reader.bad("model_type", " or ".join(BY_MODEL_TYPE), kind)
    reader.defaults = family.defaults[str(kind)]
    for key, value in family.only.items():
        reader.only(key, value)
    dim, n_heads = reader.count("dim"), reader.count("n_heads")
    n_kv_heads = reader.count("n_kv_heads", n_heads)  # null says as many as heads
    if n_heads % n_kv_heads:
        raise reader.bad(KEYS["n_kv_heads"].hf, f"a divisor of {n_heads}", n_kv_heads)
    if reader.value("head_dim") is None and dim % n_heads:
        raise reader.bad(KEYS["dim"].hf, f"a multiple of {n_heads} heads", dim)
    head_dim = reader.count("head_dim", dim // n_heads)
    if head_dim % 2 or head_dim < MIN_HEAD_DIM:
        raise reader.bad(KEYS["head_dim"].hf, f"an even number from {MIN_HEAD_DIM}", head_dim)
    has_window = family.has_window and reader.value("sliding_window") is not None
    return ModelConfig(
        architecture=family.architecture,
        name=_model_name(path.resolve()),
        dim=dim,
        hidden_dim=reader.count("hidden_dim"),
        n_layers=reader.count("n_layers"),
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
        head_dim=head_dim,
        vocab_size=reader.count("vocab_size"),
        n_ctx_train=reader.count("n_ctx_train"),
        norm_eps=reader.positive(config, KEYS["norm_eps"].hf, reader.value("norm_eps")),
        rope=_rope(reader, head_dim),
        tied=reader.flag("tie_word_embeddings", False),
        sliding_window=reader.count("sliding_window") if has_window else 0,
    )


def _model_name(path: Path) -> str:
    """The folder's name; in huggingface_hub's cache the repository's, not the commit's."""
    repository = path.parent.parent.name
    is_cached = path.parent.name == "snapshots" and repository.startswith("models--")
    return repository.rpartition("--")[2] if is_cached else path.name


def _rope(reader: _Reader, head_dim: int) -> RopeConfig:
    """Base, linear factor and divisors.

    They stand in `rope_parameters` since transformers 5, before in `rope_theta`, `rope_scaling`.
    """
    config = reader.config
    key = "rope_parameters" if config.get("rope_parameters") is not None else "rope_scaling"
    rope = config.get(key) or {}
    if not isinstance(rope, dict):
        raise reader.bad(key, "an object", rope)
    owner = rope if KEYS["rope_theta"].hf in rope else config
    theta = reader.positive(owner, KEYS["rope_theta"].hf, DEFAULT_THETA)
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "default":
        return RopeConfig(theta)
    if kind == "linear":
        return RopeConfig(theta, reader.needed(rope, key, "factor"))
    if kind == "llama3":
        divisors = _llama3_divisors(reader, rope, key, theta, head_dim)
        return RopeConfig(theta, divisors=divisors)
    raise reader.bad(f"{key}.rope_type", "default, linear or llama3", kind)


def _llama3_divisors(
    reader: _Reader, rope: dict[str, Any], key: str, theta: float, head_dim: int
) -> tuple[float, ...]:
    """Short wavelengths stay, long ones are stretched by the factor, those between partly.

    Source: transformers' modeling_rope_utils.py, _compute_llama3_parameters.
    """
    names = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
    factor, low, high, n_ctx = (reader.needed(rope, key, name) for name in names)
    if high <= low:
        raise reader.bad(f"{key}.high_freq_factor", f"a number above {low}", high)
    divisors = []
    for i in range(0, head_dim, 2):
        wavelength = 2 * math.pi * theta ** (i / head_dim)
        smooth = min(max((n_ctx / wavelength - low) / (high - low), 0.0), 1.0)
        divisors.append(1 / ((1 - smooth) / factor + smooth))
    return tuple(divisors)


class _Reader:
    """Reads keys; `defaults` are what absent ones are."""

    def __init__(
        self, path: Path, config: dict[str, Any], defaults: Mapping[str, float | None]
    ) -> None:
        self.path, self.config, self.defaults = path, config, defaults

    def bad(self, key: str, expected: str, got: object) -> ConversionError:
        return ConversionError(self.path, key, expected=expected, got=repr(got))

    def value(self, field: str) -> Any:
        """What the hyperparameter of that name is, unchecked."""
        key = KEYS[field].hf
        return self.config.get(key, self.defaults.get(key))

    def count(self, field: str, if_null: int | None = None) -> int:
        """A whole number: the hyperparameter of that name."""
        key, value = KEYS[field].hf, self.value(field)
        if value is None:
            value = if_null
        most = _MOST.get(field, MAX_DIM)
        if type(value) is not int or not 1 <= value <= most:
            raise self.bad(key, f"a whole number from 1 to {most}", value)
        return value

    def positive(self, config: dict[str, Any], key: str, default: float | None) -> float:
        value: Any = config.get(key, default)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        # As a file holds it: a 32-bit float.
        if not is_number or not _LEAST <= value <= _LARGEST:
            raise self.bad(key, "a finite number above 0", value)
        return float(value)

    def needed(self, config: dict[str, Any], parent: str, key: str) -> float:
        """A number above 0 that must be there."""
        if key not in config:
            raise self.bad(f"{parent}.{key}", "a finite number above 0", None)
        return self.positive(config, key, 0.0)

    def flag(self, key: str, default: bool) -> bool:
        value = self.config.get(key, default)
        if not isinstance(value, bool):
            raise self.bad(key, "true or false", value)
        return value

    def only(self, key: str, supported: object) -> None:
        value = self.config.get(key, supported)
        if value != supported:
            raise self.bad(key, f"{supported!r} (others are not supported yet)", value)
