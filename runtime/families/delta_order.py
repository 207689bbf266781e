"""Which rows and inputs of a checkpoint's tensors a GGUF file's have, in order, of delta nets.

Qwen3.5's value heads lie in a file such that neighbours have different key heads, and Qwen3-Next's
q, k, v and z are apart. Source: llama.cpp's conversion/qwen.py.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from halfbyte.families.config import ModelConfig
from halfbyte.families.delta_net_config import DeltaNet
from halfbyte.families.tensors import kind_after_kind

Order = NDArray[np.int64]
DECAYS = "A_log"  # of which a file has what exponents are multiplied by
_OF_HEADS = ("in_proj_b.weight", "in_proj_a.weight", DECAYS, "dt_bias")


class Arrangement(NamedTuple):
    """Which rows and which inputs a tensor has of another, in order; None: all, as they are."""

    rows: Order | None = None
    inputs: Order | None = None


def arrangement(c: ModelConfig, hf_name: str) -> Arrangement:
    """That of a checkpoint's tensor, by the name that the family has for it."""
    d, name = c.recurrent, hf_name.rpartition(".linear_attn.")[2]
    if not isinstance(d, DeltaNet):
        return Arrangement()
    heads = np.arange(d.n_value_heads)
    if d.is_tiled:
        heads = heads.reshape(d.n_key_heads, d.n_parts).T.reshape(-1)
    features = (heads[:, None] * d.value_dim + np.arange(d.value_dim)).reshape(-1)
    n_keys = d.conv_width - d.output_dim
    channels = np.concatenate([np.arange(n_keys), n_keys + features])
    turns = kind_after_kind(d.turns, d.conv_width + d.output_dim)
    rows = {
        "in_proj_qkv.weight": channels, "conv1d.weight": channels, "in_proj_z.weight": features,
        **dict.fromkeys(_OF_HEADS, heads), "in_proj_qkvz.weight[qkv]": turns[: d.conv_width],
        "in_proj_qkvz.weight[z]": turns[d.conv_width :],
    }  # fmt: skip
    inputs = features if name == "out_proj.weight" else None
    is_part = name.endswith("]")
    return Arrangement(
        rows[name] if is_part else _unless_same(rows.get(name)), _unless_same(inputs)
    )


def _unless_same(order: Order | None) -> Order | None:
    return None if order is None or (order == np.arange(len(order))).all() else order
