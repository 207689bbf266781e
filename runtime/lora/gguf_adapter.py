"""Adapters as llama.cpp's converter writes them: a GGUF file of type adapter.

Tensors are NAME.lora_a (rank, inputs) and NAME.lora_b (rows, rank), NAME being that of the model's
matrix, whose order of rows b has. Source: llama.cpp's src/llama-adapter.cpp.
"""

from __future__ import annotations

import re
from pathlib import Path

from halfbyte.errors import UnsupportedModelError
from halfbyte.families.config import ModelConfig
from halfbyte.gguf.file import GGUFFile
from halfbyte.gguf.metadata import Metadata
from halfbyte.gguf.tensor_table import TensorInfo
from halfbyte.kernels.quantizers.quantize import dequantize
from halfbyte.lora.adapter import F32, Adapter, Factors, Kind
from halfbyte.lora.matrices import EMBEDDING, Pair, paired
from halfbyte.lora.peft_folder import finite

_NAME = re.compile(r"(.+)\.lora_([ab])")
_ALPHA, _INVOCATION = "adapter.lora.alpha", "adapter.alora.invocation_tokens"


def read_gguf_adapter(path: Path, config: ModelConfig) -> Adapter:
    """An adapter for a model; see `read_adapter`."""
    with GGUFFile.open(path) as file:
        m = file.metadata
        _check_kind(m, config)
        says_nothing = not m.states(_ALPHA)
        alpha = 0.0 if says_nothing else m.get_float(_ALPHA)
        halves, faults = {}, list[str]()
        for name, tensor in file.tensors.items():
            found = _NAME.fullmatch(name)
            if found is None or found[1] == EMBEDDING:
                what = "LoRA of the embedding is not computed" if found else "no factor of a LoRA"
                faults.append(f"{name}: {what}")
            else:
                halves[name] = found[1], found[2], tensor
        base = m.get_str("general.base_model.0.name", "")
        pairs = paired(path, halves, config, lambda info: info.shape, faults, base)
        factors = {name: _factors(file, pair, alpha) for name, pair in pairs.items()}
        kinds = {info.type_name for pair in pairs.values() for info in (pair.a, pair.b)}
    kind: Kind = "F16" if kinds == {"F16"} else "BF16" if kinds == {"BF16"} else "F32"
    return Adapter(path, kind, factors)


def _check_kind(m: Metadata, config: ModelConfig) -> None:
    for key, wanted in (
        ("general.type", "adapter"),
        ("adapter.type", "lora"),
        ("general.architecture", config.architecture),
    ):
        got = m.get_str(key, "")
        if got != wanted:
            raise UnsupportedModelError(m.path, key, expected=wanted, got=got or "nothing")
    if _INVOCATION in m:
        raise UnsupportedModelError(
            m.path, _INVOCATION, expected="an adapter of all tokens", got="an activated LoRA"
        )


def _factors(file: GGUFFile, pair: Pair[TensorInfo], alpha: float) -> Factors:
    a, b = (_floats(file, info) for info in (pair.a, pair.b))
    return Factors(a, b, alpha / len(a) if alpha else 1.0)


def _floats(file: GGUFFile, info: TensorInfo) -> F32:
    assert info.format is not None  # strict types
    n_rows, n = info.shape
    values = dequantize(file.data(info.name).reshape(n_rows, -1), info.format, n)
    return finite(Path(file.path), info.name, values)
