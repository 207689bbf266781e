"""Short convolutions as config.json states them. Source: transformers' Lfm2Config."""

from __future__ import annotations

from dataclasses import replace

from halfbyte.families.config import ModelConfig
from halfbyte.families.hf_reader import Reader
from halfbyte.families.short_conv_config import ShortConv
from halfbyte.families.states import MAX_TAPS

_TYPES, _ATTENTION, _TAPS = "layer_types", "full_attn_idxs", "conv_L_cache"
_KINDS = {"conv": True, "full_attention": False}
_WIDTH, _ADJUSTS, _FACTOR, _MULTIPLE = (
    "block_ff_dim", "block_auto_adjust_ff_dim", "block_ffn_dim_multiplier", "block_multiple_of",
)  # fmt: skip
_TIED = "tie_embedding"
# Of LFM2's first files, what stands in other keys too: the field of ModelConfig.
_AGAIN = {"block_dim": "dim", "conv_dim": "dim", "conv_dim_out": "dim", "num_heads": "n_heads",
          "block_norm_eps": "norm_eps"}  # fmt: skip
# How a model is trained, and keys that are read here.
SHORT_CONV_KEYS = frozenset({
    _TYPES, _ATTENTION, _TAPS, "conv_bias", _WIDTH, _ADJUSTS, _FACTOR, _MULTIPLE, _TIED, *_AGAIN,
    "block_mlp_init_scale", "block_out_init_scale", "block_use_xavier_init",
    "conv_use_xavier_init",
})  # fmt: skip


def with_short_conv(reader: Reader, config: ModelConfig) -> ModelConfig:
    """A configuration with what config.json says of them, and of the network's width.

    Raises:
        ConversionError: a key is missing, mistyped, out of range or contradicts another.
    """
    for key, field in _AGAIN.items():
        if reader.config.get(key, getattr(config, field)) != getattr(config, field):
            raise reader.bad(key, f"{getattr(config, field)}, as elsewhere", reader.config[key])
    layers = _layers(reader, config.n_layers)
    n_taps = _count(reader, _TAPS, 2, MAX_TAPS)
    bias = reader.flag("conv_bias", False)
    return replace(
        config, recurrent=ShortConv(config.dim, n_taps, bias), recurrent_layers=layers,
        hidden_dim=_hidden_dim(reader, config.hidden_dim),
        tied=reader.flag(_TIED, config.tied),
    )  # fmt: skip


def _layers(reader: Reader, n_layers: int) -> tuple[bool, ...]:
    """Whether each layer is a convolution: by their kinds, or the numbers of the others."""
    kinds, attention = reader.config.get(_TYPES), reader.config.get(_ATTENTION)
    if kinds is not None:
        if not isinstance(kinds, list) or not all(
            isinstance(one, str) and one in _KINDS for one in kinds
        ):
            raise reader.bad(_TYPES, f"a list of {' and '.join(_KINDS)}", kinds)
        if len(kinds) != n_layers:
            raise reader.bad(_TYPES, f"one for each of {n_layers} layers", len(kinds))
        return tuple(_KINDS[one] for one in kinds)
    if _ATTENTION not in reader.defaults:
        raise reader.bad(_TYPES, f"one for each of {n_layers} layers", "none")
    attention = list(range(n_layers)) if attention is None else attention
    if not isinstance(attention, list) or not all(
        type(i) is int and i in range(n_layers) for i in attention
    ):
        raise reader.bad(_ATTENTION, f"numbers of {n_layers} layers", attention)
    return tuple(i not in attention for i in range(n_layers))


def _hidden_dim(reader: Reader, hidden_dim: int) -> int:
    """The network's width, of which two thirds are taken where it is adjusted."""
    if _ADJUSTS not in reader.defaults:
        return hidden_dim
    if reader.config.get(_WIDTH) is not None:
        hidden_dim = _count(reader, _WIDTH, 1, 1 << 22)
    if not reader.flag(_ADJUSTS, bool(reader.defaults[_ADJUSTS])):
        return hidden_dim
    hidden_dim = int(2 * hidden_dim / 3)
    factor = reader.config.get(_FACTOR, reader.defaults[_FACTOR])
    if factor is None:
        return hidden_dim
    hidden_dim = int(reader.positive(_FACTOR, factor) * hidden_dim)
    multiple = _count(reader, _MULTIPLE, 1, 1 << 20)
    return -(-hidden_dim // multiple) * multiple


def _count(reader: Reader, key: str, least: int, most: int) -> int:
    value = reader.config.get(key, reader.defaults.get(key))
    if type(value) is not int or not least <= value <= most:
        raise reader.bad(key, f"a whole number from {least} to {most}", value)
    return value
