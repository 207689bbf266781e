"""Adapters as peft saves them: a folder with adapter_config.json and adapter_model.safetensors.

A tensor's name is that of its module in transformers behind "base_model.model.", and then
lora_A.weight (rank, inputs) or lora_B.weight (rows, rank).
"""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from halfbyte.errors import MissingFileError, ModelFileError, UnsupportedModelError
from halfbyte.families.config import ModelConfig
from halfbyte.families.delta_order import arrangement
from halfbyte.families.registry import family_of
from halfbyte.families.tensors import TensorSpec
from halfbyte.files.adapters import ADAPTER_FILE
from halfbyte.files.file_kinds import PICKLED
from halfbyte.files.json_folder import JSONFolder
from halfbyte.lora.adapter import F32, Adapter, Factors, Kind
from halfbyte.lora.matrices import Pair, matrices_of, paired
from halfbyte.lora.peft_config import PeftConfig

if TYPE_CHECKING:
    from halfbyte.converting.sources.safetensors_file import StoredTensor

WEIGHTS = "adapter_model.safetensors"
_PICKLED = "adapter_model.bin"
_NAME = re.compile(r"(?:base_model\.model\.)?(.+)\.lora_([AB])\.weight")


def is_peft_folder(path: Path) -> bool:
    """Whether a folder says that it holds an adapter."""
    return (path / ADAPTER_FILE).is_file()


def read_peft_folder(path: Path, config: ModelConfig) -> Adapter:
    """An adapter for a model; see `read_adapter`."""
    from halfbyte.converting.sources.safetensors_file import FLOATS, SafetensorsFile

    stated = JSONFolder(path).read_json(ADAPTER_FILE)
    if stated is None:
        raise MissingFileError(path, ADAPTER_FILE, expected="a file", got="none")
    said = PeftConfig.of(path, stated)
    if not (path / WEIGHTS).is_file():
        if (path / _PICKLED).is_file():
            raise UnsupportedModelError(
                path, "weights", expected=WEIGHTS, got="pickled weights", hint=PICKLED
            )
        raise MissingFileError(path, "weights", expected=WEIGHTS, got="no such file")
    with closing(SafetensorsFile(path / WEIGHTS)) as file:
        halves, faults = _halves(file.tensors, config)
        faults += [f"{t.name} is {t.dtype}" for _, _, t in halves.values() if t.dtype not in FLOATS]
        pairs = paired(path, halves, config, lambda t: t.shape, faults, said.base)
        kinds = {tensor.dtype for pair in pairs.values() for tensor in (pair.a, pair.b)}
        kind: Kind = "F32"
        if len(kinds) == 1:
            (kind,) = kinds  # type: ignore[assignment]  # it is one of FLOATS
        is_permuted = not family_of(config).rotates_halves
        factors = {
            name: _arranged(config, pair.spec, _factors(path, pair, said, is_permuted=is_permuted))
            for name, pair in pairs.items()
        }
    return Adapter(path, kind, factors)


def _arranged(config: ModelConfig, spec: TensorSpec, one: Factors) -> Factors:
    """Factors of a checkpoint's matrix as those of the file's, whose heads lie otherwise."""
    rows, inputs = arrangement(config, spec.hf_name)
    a = one.a if inputs is None else one.a[:, inputs]
    return Factors(a, one.b if rows is None else one.b[rows], one.scale)


def _halves(
    tensors: dict[str, StoredTensor], config: ModelConfig
) -> tuple[dict[str, tuple[str, str, StoredTensor]], list[str]]:
    """Each tensor with its matrix's GGUF name and its half; and what those are that have none."""
    modules = {s.hf_name.removesuffix(".weight"): n for n, s in matrices_of(config).items()}
    # Adapters of a model without its head leave the model's own prefix away.
    modules |= {name.removeprefix("model."): gguf for name, gguf in modules.items()}
    halves, faults = {}, list[str]()
    for name, tensor in tensors.items():
        found = _NAME.fullmatch(name)
        if found is None:
            faults.append(f"{name}: {_unused(name)}")
        else:
            halves[name] = modules.get(found[1], found[1]), found[2].lower(), tensor
    return halves, faults


def _unused(name: str) -> str:
    if "lora_embedding" in name:
        return "LoRA of the embedding is not computed"
    if "lora_magnitude_vector" in name:
        return "DoRA is not computed"
    return "no factor of a LoRA"


def _factors(
    path: Path, pair: Pair[StoredTensor], said: PeftConfig, *, is_permuted: bool
) -> Factors:
    module = pair.spec.hf_name.removesuffix(".weight")
    scale = said.scale(module, pair.a.shape[0])
    a, b = (finite(path, tensor.name, tensor.floats()) for tensor in (pair.a, pair.b))
    order = pair.spec.neighbours() if is_permuted else None
    return Factors(a, b if order is None else b[order], scale)


def finite(path: Path, name: str, values: F32) -> F32:
    """The numbers; ModelFileError where one is NaN or infinite."""
    if not np.isfinite(values).all():
        raise ModelFileError(path, name, expected="finite weights", got="NaN or infinity")
    return values
