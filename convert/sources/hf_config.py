"""config.json, as transformers 4 or 5 writes it, under Meta's names.

Keys that transformers leaves out when they have their default get that default here; anything
that would change the model's arithmetic and is not supported yet is an error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halfbyte.errors import ConversionError

# model_type -> GGUF's name.
_ARCHITECTURES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2"}


@dataclass(frozen=True, slots=True)
class HParams:
    """A model's hyperparameters.

    Attributes:
        architecture: GGUF's name of it.
        sliding_window: positions that a token sees, its own included; 0: all before it.
        rope_factor: what positions are divided by (linear scaling).
        rope_divisors: what the frequencies of each pair are divided by (Llama 3's scaling).
    """

    dim: int
    hidden_dim: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    vocab_size: int
    n_ctx: int
    norm_eps: float
    rope_theta: float
    tied: bool
    architecture: str = "llama"
    sliding_window: int = 0
    rope_factor: float = 1.0
    rope_divisors: tuple[float, ...] | None = None

    @property
    def rotates_halves(self) -> bool:
        """Whether RoPE rotates features i and i + head_dim / 2 in the file's q and k."""
        return self.architecture == "qwen2"

    @property
    def has_qkv_biases(self) -> bool:
        """Whether q, k and v have biases."""
        return self.architecture == "qwen2"


def read_hparams(path: Path, config: dict[str, Any]) -> HParams:
    """Check and translate config.json.

    Raises:
        ConversionError: a key is missing, mistyped or out of range, or asks for what is not
            supported.
    """
    reader = _Reader(path / "config.json", config)
    architecture = _ARCHITECTURES.get(str(config.get("model_type")))
    if architecture is None:
        raise reader.bad("model_type", " or ".join(_ARCHITECTURES), config.get("model_type"))
    reader.only("hidden_act", "silu")
    if architecture == "llama":
        reader.only("attention_bias", False)
    reader.only("mlp_bias", False)
    dim, n_heads = reader.count("hidden_size"), reader.count("num_attention_heads")
    n_kv_heads = reader.count("num_key_value_heads", n_heads)
    if n_heads % n_kv_heads:
        raise reader.bad("num_key_value_heads", f"a divisor of {n_heads}", n_kv_heads)
    if config.get("head_dim") is None and dim % n_heads:
        raise reader.bad("hidden_size", f"a multiple of {n_heads} heads", dim)
    head_dim = reader.count("head_dim", dim // n_heads)
    if head_dim % 2:
        raise reader.bad("head_dim", "an even number", head_dim)
    theta, factor, divisors = _rope(reader, head_dim)
    return HParams(
        architecture=architecture,
        sliding_window=_sliding_window(reader),
        rope_factor=factor,
        rope_divisors=divisors,
        dim=dim,
        hidden_dim=reader.count("intermediate_size"),
        n_layers=reader.count("num_hidden_layers"),
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
        head_dim=head_dim,
        vocab_size=reader.count("vocab_size"),
        n_ctx=reader.count("max_position_embeddings", 2048),
        norm_eps=reader.positive(config, "rms_norm_eps", 1e-6),
        rope_theta=theta,
        tied=reader.flag("tie_word_embeddings", False),
    )


def _sliding_window(reader: _Reader) -> int:
    """Mistral's window; Qwen2 states one that it does not use."""
    config = reader.config
    if config.get("model_type") == "qwen2":
        reader.only("use_sliding_window", False)
        return 0
    return 0 if config.get("sliding_window") is None else reader.count("sliding_window")


def _rope(reader: _Reader, head_dim: int) -> tuple[float, float, tuple[float, ...] | None]:
    """Base, linear factor and divisors.

    They stand in `rope_parameters` since transformers 5, before in `rope_theta`, `rope_scaling`.
    """
    config = reader.config
    key = "rope_parameters" if config.get("rope_parameters") is not None else "rope_scaling"
    rope = config.get(key) or {}
    if not isinstance(rope, dict):
        raise reader.bad(key, "an object", rope)
    owner = rope if "rope_theta" in rope else config
    theta = reader.positive(owner, "rope_theta", 10000.0)
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "default":
        return theta, 1.0, None
    if kind == "linear":
        return theta, reader.needed(rope, key, "factor"), None
    if kind == "llama3":
        return theta, 1.0, _llama3_divisors(reader, rope, key, theta, head_dim)
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
    def __init__(self, path: Path, config: dict[str, Any]) -> None:
        self.path, self.config = path, config

    def bad(self, key: str, expected: str, got: object) -> ConversionError:
        return ConversionError(self.path, key, expected=expected, got=repr(got))

    def count(self, key: str, default: int | None = None) -> int:
        value = self.config.get(key)
        if value is None:
            value = default
        if type(value) is not int or not 1 <= value <= 1 << 30:
            raise self.bad(key, "a whole number from 1", value)
        return value

    def positive(self, config: dict[str, Any], key: str, default: float) -> float:
        value = config.get(key, default)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or value <= 0:
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
