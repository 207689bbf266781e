"""A checkpoint's layers that guess tokens further ahead (families/next_layer.py)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from halfbyte.converting.sources.quantized.checkpoint import HFTensor, are_equal
from halfbyte.families.config import ModelConfig
from halfbyte.families.next_layer import n_next_in_checkpoint, names_of_next
from halfbyte.families.registry import family_of, tensors_of

log = logging.getLogger(__name__)

_HEAD = "lm_head.weight"


def with_next(
    tensors: Mapping[str, HFTensor], config: ModelConfig, *, drafts: bool
) -> tuple[ModelConfig, dict[str, HFTensor]]:
    """How many such layers there are, by what is stored; without `drafts`, the other tensors."""
    family = family_of(config)
    if drafts:
        n = n_next_in_checkpoint(tensors, family, config.n_layers)
        return replace(config, n_next=n), dict(tensors)
    others = names_of_next(tensors, family, config.n_layers)
    return config, {name: tensor for name, tensor in tensors.items() if name not in others}


def without_copies(
    path: Path, tensors: Mapping[str, HFTensor], config: ModelConfig
) -> dict[str, HFTensor]:
    """The tensors without such layers' embeddings and heads that are the model's once more.

    Published checkpoints have both twice; a file without them means the model's.
    """
    family, found = family_of(config), dict(tensors)
    embedding = next(family.tensors(config)).hf_name
    shared = {"embed_tokens": embedding, "shared_head_head": embedding if config.tied else _HEAD}
    for spec in tensors_of(config) if config.n_next else ():
        own, model = tensors.get(spec.hf_name), tensors.get(shared.get(_short(spec.name), ""))
        if own is not None and model is not None and are_equal(own, model):
            log.info("%s: %s is %s once more, and left out", path, own.name, model.name)
            del found[spec.hf_name]
    return found


def _short(name: str) -> str:
    """What a tensor of such a layer's own is called."""
    return name.removesuffix(".weight").partition(".nextn.")[2]
