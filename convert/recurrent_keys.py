"""Recurrent layers as GGUF's metadata, by kind, under llama.cpp's names."""

from __future__ import annotations

import gguf

from halfbyte.families.config import ModelConfig
from halfbyte.families.delta_net_config import DeltaNet
from halfbyte.families.delta_net_readers import DELTA_KEYS, EVERY_KEY, LAYERS_KEY, usual_layers
from halfbyte.families.mamba2_config import NO_LIMITS, Mamba2
from halfbyte.families.mamba2_from_gguf import LIMITS_KEY, ROTATES_KEY, SSM_KEYS
from halfbyte.families.registry import family_of
from halfbyte.families.short_conv_config import TAPS_KEY, ShortConv


def add_recurrence(meta: gguf.GGUFWriter, c: ModelConfig) -> None:
    """Write what a model has of them."""
    match c.recurrent:
        case ShortConv() as s:
            meta.add_uint32(f"{c.architecture}.{TAPS_KEY}", s.n_taps)
        case Mamba2() as m:
            for field, key in SSM_KEYS.items():
                meta.add_uint32(f"{c.architecture}.{key}", getattr(m, field))
            if m.dt_limits != NO_LIMITS:
                meta.add_array(LIMITS_KEY, list(m.dt_limits))
            if ROTATES_KEY in family_of(c).reads:
                meta.add_bool(f"{c.architecture}.{ROTATES_KEY}", not c.rope_layers)
        case DeltaNet() as d:
            for field, (name, _) in DELTA_KEYS.items():
                if name:
                    meta.add_uint32(f"{c.architecture}.{name}", getattr(d, field))
            _add_layers(meta, c)


def _add_layers(meta: gguf.GGUFWriter, c: ModelConfig) -> None:
    """Write which layers are recurrent: the last of so many is not, or one by one."""
    for every in range(1, c.n_layers + 2):
        if usual_layers(c.n_layers, every) == c.recurrent_layers:
            meta.add_uint32(f"{c.architecture}.{EVERY_KEY}", every)
            return
    meta.add_array(f"{c.architecture}.{LAYERS_KEY}", [*c.recurrent_layers, *[False] * c.n_next])


def kv_heads(c: ModelConfig) -> int | list[int]:
    """The KV heads of each layer, where some have none."""
    # Of Qwen's llama.cpp takes one number for all layers.
    if c.n_kv_layers == c.n_layers or isinstance(c.recurrent, DeltaNet):
        return c.n_kv_heads
    return [c.n_kv_heads * c.has_attention(i) for i in range(c.n_layers)]


def widths(c: ModelConfig) -> list[int]:
    """The width of each layer's network, where some have none."""
    return [c.hidden_dim * c.has_network(i) for i in range(c.n_layers)]
