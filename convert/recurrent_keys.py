"""Recurrent layers as GGUF's metadata, by kind, under llama.cpp's names."""

from __future__ import annotations

import gguf

from halfbyte.families.config import ModelConfig
from halfbyte.families.short_conv_config import TAPS_KEY, ShortConv


def add_recurrence(meta: gguf.GGUFWriter, c: ModelConfig) -> None:
    """Write what a model has of them."""
    match c.recurrent:
        case ShortConv() as s:
            meta.add_uint32(f"{c.architecture}.{TAPS_KEY}", s.n_taps)


def kv_heads(c: ModelConfig) -> int | list[int]:
    """The KV heads of each layer, where some have none."""
    if c.n_kv_layers == c.n_layers:
        return c.n_kv_heads
    return [c.n_kv_heads * c.has_attention(i) for i in range(c.n_layers)]
