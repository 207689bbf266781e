"""A Hugging Face folder's tensors under their GGUF names, as the model's family has them."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from halfbyte.converting.sources.hf_folder import HFFolder
from halfbyte.converting.sources.safetensors_file import StoredTensor
from halfbyte.errors import ConversionError
from halfbyte.families.config import ModelConfig
from halfbyte.families.registry import family_of

_IN_LAYER = re.compile(r"\.layers\.(\d+)\.")
# Tables that older checkpoints carry along; they follow from the configuration.
_DERIVED = (".rotary_emb.inv_freq",)
_TIED_COPY = "lm_head.weight"  # some checkpoints store it too


# GGUF name, tensor, its rows in GGUF's order if that is another one.
Mapped = tuple[str, StoredTensor, NDArray[np.int64] | None]


def map_tensors(folder: HFFolder, config: ModelConfig) -> list[Mapped]:
    """All tensors of the model in GGUF's usual order.

    Raises:
        ConversionError: tensors are missing, unknown or of another shape; all are named.
    """
    family = family_of(config)
    wanted = {spec.hf_name: spec for spec in family.tensors(config) if spec.hf_name}
    names = {name for name in folder.tensors if not name.endswith(_DERIVED)}
    if config.tied:
        names.discard(_TIED_COPY)
    faults = [f"missing {name}" for name in wanted if name not in names]
    faults += [f"unknown {name}" for name in sorted(names) if name not in wanted]
    faults += [
        f"{name} is {folder.tensors[name].shape}, not {spec.shape}"
        for name, spec in wanted.items()
        if name in names and folder.tensors[name].shape != spec.shape
    ]
    if faults:
        got = "; ".join(_by_layers(faults))
        raise ConversionError(folder.path, "tensors", expected="those of config.json", got=got)
    return [
        (spec.name, folder.tensors[name], None if family.rotates_halves else spec.neighbours())
        for name, spec in wanted.items()
    ]


def _by_layers(faults: list[str]) -> list[str]:
    """The faults, those that differ in the layer only as one: a model has hundreds of tensors."""
    layers: dict[str, list[str]] = {}
    for fault in faults:
        found = _IN_LAYER.search(fault)
        key = fault if found is None else _IN_LAYER.sub(".layers.*.", fault, count=1)
        layers.setdefault(key, []).extend(found.groups() if found else [])
    return [
        key.replace("*", f"{{{','.join(ids)}}}" if len(ids) > 1 else "".join(ids), 1)
        for key, ids in layers.items()
    ]
