"""Where the float model gets its weights: a GGUF file, or a checkpoint as its reader gives it."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from halfbyte.families.config import ModelConfig
from halfbyte.families.latent import fused_name, split_kv_b
from halfbyte.gguf.factors import matrix_factors
from halfbyte.gguf.file import GGUFFile
from halfbyte.kernels.quantizers.quantize import dequantize

F32 = NDArray[np.float32]

_N_CHUNK_WEIGHTS = 1 << 22


class LayerSource(Protocol):
    """Where weights come from."""

    @property
    def config(self) -> ModelConfig:
        """The model's shape."""

    def __contains__(self, name: str) -> bool:
        """Whether there is such a tensor; the divisors of RoPE need not be."""

    def tensor(self, name: str) -> F32:
        """A whole tensor by its GGUF name, its rows in GGUF's order."""

    def rows(self, name: str, ids: NDArray[np.int64]) -> F32:
        """Some rows of a matrix: float32 (len(ids), inputs)."""


class GGUFSource:
    """The tensors of a GGUF file, dequantized."""

    def __init__(self, file: GGUFFile, config: ModelConfig) -> None:
        self._file, self.config = file, config

    def __contains__(self, name: str) -> bool:
        return name in self._file.tensors

    def tensor(self, name: str) -> F32:
        """See LayerSource."""
        latent, fused = self.config.latent, fused_name(name)
        if latent is not None and fused in self._file.tensors:
            return split_kv_b(latent, self.tensor(fused))[name.split(".")[2]]
        info = self._file.tensors[name]
        if info.format is None:
            raise ValueError(f"{name}: type {info.type_name} cannot be dequantized")
        n = info.shape[-1]
        nbytes, n_rows = info.format.row_nbytes(n), info.nbytes // info.format.row_nbytes(n)
        values = np.empty((n_rows, n), np.float32)
        step = max(1, _N_CHUNK_WEIGHTS // n)
        for begin in range(0, n_rows, step):
            end = min(begin + step, n_rows)
            chunk = self._file.data(name, begin * nbytes, end * nbytes).reshape(-1, nbytes)
            values[begin:end] = dequantize(chunk, info.format, n)
        if info.is_matrix:
            factors = matrix_factors(self._file, info)
            values = values.reshape(len(factors), -1, n) * factors[:, None, None]
        return values.reshape(info.shape)

    def rows(self, name: str, ids: NDArray[np.int64]) -> F32:
        """See LayerSource."""
        info = self._file.tensors[name]
        if info.format is None:
            raise ValueError(f"{name}: type {info.type_name} cannot be dequantized")
        n = info.shape[-1]
        nbytes = info.format.row_nbytes(n)
        raw = [self._file.data(name, int(i) * nbytes, (int(i) + 1) * nbytes) for i in ids]
        return dequantize(np.array(raw), info.format, n)
