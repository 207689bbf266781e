"""Keys and values of layers that read those of others: checkpoints and files may have them.

They are left out, with a word, as transformers and llama.cpp leave them out.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable

from halfbyte.families.config import ModelConfig
from halfbyte.files.file_warnings import warn_about

log = logging.getLogger(__name__)

_GGUF = ("attn_k.weight", "attn_v.weight", "attn_k_norm.weight")
_HF = tuple(f"self_attn.{name}.weight" for name in ("k_proj", "v_proj", "k_norm", "v_norm"))


def of_sharing_layers(
    names: Iterable[str], path: str | os.PathLike[str], config: ModelConfig
) -> frozenset[str]:
    """Such tensors, by GGUF's names or a checkpoint's; a word if there are any."""
    layers = [i for i in range(config.n_layers) if config.kv_layer(i) != i]
    unread = {
        name
        for i in layers
        for name in (*(f"blk.{i}.{k}" for k in _GGUF), *(f"model.layers.{i}.{k}" for k in _HF))
    }
    found = sorted(unread.intersection(names))
    if found:
        warn_about(
            log, path, "left out, as layers %d and on read the keys of others: %d tensors, %s and "
            "so on", layers[0], len(found), found[0],
        )  # fmt: skip
    return frozenset(found)
