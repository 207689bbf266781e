"""The tensors of a checkpoint under their plain names, however its weights were quantized."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from halfbyte.converting.sources.hf_folder import HFFolder
from halfbyte.converting.sources.quantized.awq_layout import read_awq
from halfbyte.converting.sources.quantized.checkpoint import Checkpoint, HFTensor
from halfbyte.converting.sources.quantized.compressed_tensors import read_compressed_tensors
from halfbyte.converting.sources.quantized.float8 import read_fp8
from halfbyte.converting.sources.quantized.gptq_layout import read_gptq
from halfbyte.converting.sources.quantized.modelopt import read_modelopt
from halfbyte.converting.sources.quantized.mxfp4 import read_mxfp4
from halfbyte.errors import ConversionError

log = logging.getLogger(__name__)

METHODS: Mapping[str, Callable[[Checkpoint], dict[str, HFTensor]]] = {
    "gptq": read_gptq,
    "awq": read_awq,
    "compressed-tensors": read_compressed_tensors,
    "fp8": read_fp8,
    "fbgemm_fp8": read_fp8,
    "mxfp4": read_mxfp4,
    "modelopt": read_modelopt,
}
# Where settings stand that config.json does not have, and the method that they are for.
_MODELOPT = "hf_quant_config.json"
_FILES = {"quantize_config.json": "gptq", "quant_config.json": "awq"}


def checkpoint_tensors(folder: HFFolder) -> dict[str, HFTensor]:
    """The tensors of a folder; quantized ones give the values that they stand for.

    Raises:
        ConversionError: a method that is not known here, or tensors that do not fit it.
    """
    settings = _settings(folder)
    if settings is None:
        return dict(folder.tensors)
    method = settings.get("quant_method")
    read = METHODS.get(method) if isinstance(method, str) else None
    if read is None:
        raise ConversionError(
            folder.path, "quantization_config: quant_method",
            expected=" or ".join(METHODS), got=repr(method),
            hint="convert the model's original weights",
        )  # fmt: skip
    checkpoint = Checkpoint(folder.path, settings, folder.tensors)
    found = read(checkpoint)
    if found:
        log.warning(
            "%s: %d matrices are quantized already (%s); their values are taken as they are",
            folder.path, len(found), method,
        )  # fmt: skip
    else:
        log.warning(
            "%s: quantization_config says %s, but no matrix is quantized", folder.path, method
        )
    return {**checkpoint.rest(), **found}


def _settings(folder: HFFolder) -> Mapping[str, Any] | None:
    """How the weights were quantized; None: not at all."""
    config = folder.config or {}
    for key in ("quantization_config", "compression_config"):
        value = config.get(key)
        if value is None:
            continue
        if not isinstance(value, dict):
            raise ConversionError(folder.path, key, expected="an object", got=repr(value))
        default = "compressed-tensors" if "config_groups" in value else None
        return {"quant_method": default, **value}
    stated = (folder.read_json(_MODELOPT) or {}).get("quantization")
    if isinstance(stated, dict):
        return {"quant_method": "modelopt", **stated}
    if any(name.endswith(".qweight") for name in folder.tensors):
        for name, method in _FILES.items():
            found = folder.read_json(name)
            if found is not None:
                # AutoAWQ's own names.
                renamed = {"w_bit": "bits", "q_group_size": "group_size"}
                return {"quant_method": method} | {renamed.get(k, k): v for k, v in found.items()}
    return None
