"""A Hugging Face folder's tensors under their GGUF names, as the model's family has them."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from halfbyte.converting.sources.delta_tensors import with_delta_nets
from halfbyte.converting.sources.expert_tensors import missing_parts, with_experts
from halfbyte.converting.sources.head_tensors import whole_name, with_heads
from halfbyte.converting.sources.hf_folder import HFFolder
from halfbyte.converting.sources.mamba_tensors import with_vectors
from halfbyte.converting.sources.next_tensors import with_next, without_copies
from halfbyte.converting.sources.quantized.checkpoint import HFTensor, are_equal
from halfbyte.converting.sources.quantized.checkpoint_tensors import checkpoint_tensors
from halfbyte.converting.sources.safetensors_file import FLOATS
from halfbyte.converting.sources.tap_tensors import with_taps
from halfbyte.converting.sources.xielu_tensors import take_xielu
from halfbyte.errors import ConversionError
from halfbyte.families.config import ModelConfig
from halfbyte.families.family import Family
from halfbyte.families.left_out import left_out
from halfbyte.families.registry import BY_MODEL_TYPE, family_of, tensors_of
from halfbyte.families.tensors import TensorSpec
from halfbyte.families.wrapped import is_wrapped, text_config, text_names

log = logging.getLogger(__name__)

_IN_LAYER = re.compile(r"\.(?:layers|h)\.(\d+)\.")
# Tables that older checkpoints carry along; they follow from the configuration.
_DERIVED = (".rotary_emb.inv_freq",)
_HEAD = "lm_head.weight"
_ROOT = "model."


# GGUF name, tensor, its rows in GGUF's order if that is another one, what its numbers grow by.
Mapped = tuple[str, HFTensor, NDArray[np.int64] | None, float]


def map_tensors(
    folder: HFFolder, config: ModelConfig, *, drafts: bool = True
) -> tuple[ModelConfig, list[Mapped]]:
    """All tensors of the model in GGUF's usual order, and whether it is tied in truth.

    Layers that guess further ahead come last; without `drafts` they are left out.

    Raises:
        ConversionError: tensors are missing, unknown or of another shape; all are named.
    """
    family = _family_of(folder, config)
    tensors = _stored(folder, family)
    others = left_out(tensors, folder.path, family, config)
    tensors = {name: tensor for name, tensor in tensors.items() if name not in others}
    config, tensors = with_next(tensors, config, drafts=drafts)
    if family.has_xielu:
        numbers, tensors = take_xielu(folder.path, tensors, config.n_layers)
        config = replace(config, xielu=numbers)
    embedding = next(family.tensors(config)).hf_name
    config = _settle_tie(folder.path, config, tensors, embedding)
    tensors = without_copies(folder.path, tensors, config)
    wanted = {
        spec.hf_name: spec for spec in tensors_of(config, family)
        if spec.hf_name and not (spec.may_lack and spec.hf_name not in tensors)
    }  # fmt: skip
    tensors = with_delta_nets(config, tensors, wanted.values())
    tensors = with_vectors(with_taps(tensors, wanted.values()), wanted.values())
    tensors = with_heads(folder.path, tensors, wanted.values())
    tensors = with_experts(folder.path, tensors, wanted.values())
    _check(folder.path, tensors, wanted)
    as_it_is = family.rotates_halves or family.hf_neighbours
    return config, [
        (spec.name, tensors[name], None if as_it_is else spec.neighbours(), spec.adds)
        for name, spec in wanted.items()
    ]


def _check(path: Path, tensors: Mapping[str, HFTensor], wanted: Mapping[str, TensorSpec]) -> None:
    """ConversionError unless the tensors are those that are wanted."""
    missing = dict.fromkeys(
        whole_name(name)
        for spec in wanted.values()
        if spec.hf_name not in tensors
        for name in missing_parts(spec, tensors)
    )
    faults = [f"missing {name}" for name in missing]
    faults += [f"unknown {name}" for name in sorted(tensors) if name not in wanted]
    faults += [
        f"{name} is {tensors[name].shape}, not {spec.shape}"
        for name, spec in wanted.items()
        if name in tensors and not spec.fits(tensors[name].shape)
    ]
    faults += [
        f"{name} is {dtype}, not {', '.join(FLOATS)}"
        for name, tensor in tensors.items()
        # Quantized ones have none: they give floats.
        if name in wanted and (dtype := getattr(tensor, "dtype", FLOATS[0])) not in FLOATS
    ]
    if faults:
        got = "; ".join(_by_layers(faults))
        raise ConversionError(path, "tensors", expected="those of config.json", got=got)


def _family_of(folder: HFFolder, config: ModelConfig) -> Family:
    """By whose names the tensors are stored: a file may be of an older family that is alike."""
    stated = text_config(folder.path, folder.config or {})
    return BY_MODEL_TYPE.get(str(stated.get("model_type")), family_of(config))


def _stored(folder: HFFolder, family: Family) -> dict[str, HFTensor]:
    """Those of the model of text, whose names begin with "model."."""
    tensors = checkpoint_tensors(folder)
    tensors = {name: t for name, t in tensors.items() if not name.endswith(_DERIVED)}
    if is_wrapped(folder.config or {}):
        tensors = _of_text(folder.path, tensors)
    root = family.hf_root or _ROOT
    return {
        _ROOT + name.removeprefix(root) if name.startswith(root) else name: tensor
        for name, tensor in tensors.items()
    }


def _of_text(path: Path, tensors: dict[str, HFTensor]) -> dict[str, HFTensor]:
    """Those of the model of text, as it has them."""
    found = text_names(tensors)
    others = sorted({name.split(".layers.")[0] for name in tensors if name not in found})
    if others:
        log.warning("%s: left out, as no part of the model of text: %s", path, ", ".join(others))
    return {short: tensors[name] for name, short in found.items()}


def _settle_tie(
    path: Path, config: ModelConfig, tensors: dict[str, HFTensor], name: str
) -> ModelConfig:
    """Whether embedding and head are one, as transformers decides it: by what is stored.

    Source: transformers' PreTrainedModel.tie_weights.
    """
    if not config.tied or _HEAD not in tensors:
        return config
    head = tensors.pop(_HEAD)
    embedding = tensors.setdefault(name, head)
    if embedding is head:
        log.warning("%s: %s is missing; tied to it, %s takes its place", path, name, _HEAD)
    elif not are_equal(embedding, head):
        log.warning(
            "%s: tie_word_embeddings is true, but %s and %s differ: both are taken",
            path, name, _HEAD,
        )  # fmt: skip
        tensors[_HEAD] = head
        return replace(config, tied=False)
    return config


def _by_layers(faults: list[str]) -> list[str]:
    """The faults, those that differ in the layer only as one: a model has hundreds of tensors."""
    layers: dict[str, list[str]] = {}
    for fault in faults:
        found = _IN_LAYER.search(fault)
        key = (
            fault
            if found is None
            else _IN_LAYER.sub(lambda m: m[0].replace(m[1], "*"), fault, count=1)
        )
        layers.setdefault(key, []).extend(found.groups() if found else [])
    return [
        key.replace("*", f"{{{','.join(ids)}}}" if len(ids) > 1 else "".join(ids), 1)
        for key, ids in layers.items()
    ]
