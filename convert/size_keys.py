"""Sizes of layers that differ as GGUF's metadata: what sizes_from_gguf.py reads."""

from __future__ import annotations

import gguf

from halfbyte.converting.recurrent_keys import kv_heads, widths
from halfbyte.families.config import ModelConfig
from halfbyte.families.layer_sizes import LayerSizes
from halfbyte.families.sizes_from_gguf import LOCAL_DIM_KEYS, PER_LAYER_KEY, SHARED_KEY

_LISTS = {"n_kv_heads": "n_kv_heads", "hidden_dim": "hidden_dims"}


def list_of_layers(c: ModelConfig, field: str) -> list[int]:
    """A hyperparameter of each layer, where layers differ in it; else nothing."""
    if field == "n_heads":
        return list(c.layer_heads)
    if c.sizes is None and field == "n_kv_heads":
        of_each = kv_heads(c)
        return of_each if isinstance(of_each, list) else []
    if field == "hidden_dim" and c.network_layers:
        return widths(c)
    if c.sizes is None or field not in _LISTS:
        return []
    values: tuple[int, ...] = getattr(c.sizes, _LISTS[field])
    return list(values) if len(set(values)) > 1 else []


def add_sizes(meta: gguf.GGUFWriter, c: ModelConfig, sizes: LayerSizes) -> None:
    """Write what is of layers with a window, and what the last layers share."""
    dims = dict(zip(c.sliding_layers, sizes.head_dims, strict=True))
    for key in LOCAL_DIM_KEYS:
        meta.add_uint32(f"{c.architecture}.{key}", dims.get(True, c.head_dim))
    meta.add_uint32(f"{c.architecture}.{SHARED_KEY}", sizes.n_shared)
    meta.add_uint32(f"{c.architecture}.{PER_LAYER_KEY}", c.per_layer_dim)


def shares_as_llama_cpp(c: ModelConfig) -> bool:
    """Whether the layers that share read those which llama.cpp takes: the last two before them."""
    n_own = c.n_layers - (c.sizes.n_shared if c.sizes else 0)
    return all(
        c.kv_layer(i) == n_own - (2 if c.sliding_layers[i] else 1) for i in range(n_own, c.n_layers)
    )
