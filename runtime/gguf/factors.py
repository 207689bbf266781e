"""Factors of whole matrices, which files bring beside those whose blocks have no number (NVFP4).

`blk.0.attn_q.weight` has `blk.0.attn_q.scale`, one number, or one for each expert; a file without
it means 1. `blk.0.attn_q.input_scale` says how others would round activations to 4 bits; here they
have 8 bits and scales of their own, so it is not read.

Source: llama.cpp's llama-model.cpp, create_tensor(..., "scale"), and its converter.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from halfbyte.errors import ModelFileError
from halfbyte.gguf.file import GGUFFile
from halfbyte.gguf.tensor_table import TensorInfo
from halfbyte.kernels.formats.nvfp4 import NVFP4


def factor_names(file: GGUFFile) -> set[str]:
    """The tensors of a file that belong to such matrices."""
    found = [info.name for info in file.tensors.values() if _has_factor(info)]
    names = (factor_name(matrix, end) for matrix in found for end in ("scale", "input_scale"))
    return {name for name in names if name in file.tensors}


def factor_errors(file: GGUFFile) -> Iterator[ModelFileError]:
    """What is wrong with factors."""
    for info in filter(_has_factor, file.tensors.values()):
        factor = file.tensors.get(factor_name(info.name))
        if factor is None:
            continue
        shapes = [(1,), (math.prod(info.shape[:-2]),)]
        if factor.type_name != "F32" or factor.shape not in shapes:
            yield ModelFileError(
                file.path, factor.name, expected=f"F32 {' or '.join(map(str, shapes))}",
                got=f"{factor.type_name} {factor.shape}",
            )  # fmt: skip


def matrix_factors(file: GGUFFile, info: TensorInfo) -> NDArray[np.float32]:
    """The factor of a matrix, or of each expert's: as many as it has matrices; else ones."""
    n = math.prod(info.shape[:-2])
    name = factor_name(info.name)
    if not _has_factor(info) or name not in file.tensors:
        return np.ones(n, np.float32)
    return np.broadcast_to(file.data(name).view("<f4"), n)


def _has_factor(info: TensorInfo) -> bool:
    return info.format is NVFP4


def factor_name(matrix: str, end: str = "scale") -> str:
    """The name of a matrix's factor."""
    return f"{matrix.removesuffix('.weight')}.{end}"
