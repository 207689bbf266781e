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


@dataclass(frozen=True, slots=True)
class HParams:
    """A Llama model's hyperparameters."""

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


def read_hparams(path: Path, config: dict[str, Any]) -> HParams:
    """Check and translate config.json.

    Raises:
        ConversionError: a key is missing, mistyped or out of range, or asks for what is not
            supported.
    """
    reader = _Reader(path / "config.json", config)
    model_type = config.get("model_type")
    if model_type != "llama":
        raise reader.bad("model_type", "llama", model_type)
    reader.only("hidden_act", "silu")
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
    return HParams(
        dim=dim,
        hidden_dim=reader.count("intermediate_size"),
        n_layers=reader.count("num_hidden_layers"),
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
        head_dim=head_dim,
        vocab_size=reader.count("vocab_size"),
        n_ctx=reader.count("max_position_embeddings", 2048),
        norm_eps=reader.positive(config, "rms_norm_eps", 1e-6),
        rope_theta=_rope_theta(reader),
        tied=reader.flag("tie_word_embeddings", False),
    )


def _rope_theta(reader: _Reader) -> float:
    """The base: `rope_parameters` in transformers 5, `rope_theta` and `rope_scaling` before."""
    config = reader.config
    for key in ("rope_parameters", "rope_scaling"):
        rope = config.get(key)
        if rope is None:
            continue
        if not isinstance(rope, dict):
            raise reader.bad(key, "an object", rope)
        kind = rope.get("rope_type", rope.get("type", "default"))
        if kind != "default":
            raise reader.bad(f"{key}.rope_type", "default (scaling is not supported yet)", kind)
    rope = config.get("rope_parameters")
    if isinstance(rope, dict) and "rope_theta" in rope:
        return reader.positive(rope, "rope_theta", 10000.0)
    return reader.positive(config, "rope_theta", 10000.0)


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

    def flag(self, key: str, default: bool) -> bool:
        value = self.config.get(key, default)
        if not isinstance(value, bool):
            raise self.bad(key, "true or false", value)
        return value

    def only(self, key: str, supported: object) -> None:
        value = self.config.get(key, supported)
        if value != supported:
            raise self.bad(key, f"{supported!r} (others are not supported yet)", value)
