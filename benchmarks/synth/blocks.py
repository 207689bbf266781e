"""Types of matrices, and random blocks of them."""

from __future__ import annotations

import enum
import math

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray


class Young(enum.IntEnum):
    """Types that the package does not know yet."""

    Q2_0 = 42


gguf.GGML_QUANT_SIZES[Young.Q2_0] = (64, 18)  # weights and bytes of a block; its writer asks too
TYPES: dict[str, Type | Young] = {
    "f16": Type.F16, "q8_0": Type.Q8_0, "q4_0": Type.Q4_0, "q4_1": Type.Q4_1, "q4_k": Type.Q4_K,
    "q6_k": Type.Q6_K, "iq4_nl": Type.IQ4_NL, "iq4_xs": Type.IQ4_XS, "tq2_0": Type.TQ2_0,
    "q2_0": Young.Q2_0, "mxfp4": Type.MXFP4,
}  # fmt: skip


N_SAMPLES = 1 << 16  # distinct random blocks that a file is made of; fewer where they are large


class RandomBlocks:
    """Blocks of Gaussian noise of one type; a matrix is a random choice of them."""

    def __init__(self, kind: Type | Young) -> None:
        self._rng = np.random.default_rng(0)
        self._block_size, self._block_nbytes = gguf.GGML_QUANT_SIZES[kind]
        # A block of one number is taken as 32, so that choosing costs as little as elsewhere.
        self._group = max(1, 32 // self._block_size)
        n_weights = self._group * self._block_size
        self._n = N_SAMPLES * 32 // n_weights
        noise = self._rng.standard_normal((self._n, n_weights), np.float32)
        raw = _quantize(noise * np.float32(0.02), kind)
        self._samples = raw.view(np.uint8).reshape(self._n, -1)

    def matrix(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """Bytes of a matrix, or of many: (rows, bytes of a row)."""
        n = math.prod(shape) // (self._group * self._block_size)
        chosen = self._rng.integers(0, self._n, n, np.int32)
        return self._samples[chosen].reshape(math.prod(shape[:-1]), -1)


def _quantize(x: NDArray[np.float32], kind: Type | Young) -> NDArray[np.uint8]:
    """Blocks of rows of weights. The gguf package has no quantizers for some types."""
    if not kind.name.endswith("_K") and kind not in (Type.IQ4_NL, Type.IQ4_XS, Young.Q2_0):
        return gguf.quants.quantize(x, kind).view(np.uint8)
    from halfbyte import system
    from halfbyte.kernels.formats.registry import FORMATS
    from halfbyte.kernels.quantizers.quantize import quantize

    system.set_up_kernels()
    return quantize(x, FORMATS[kind.name])
