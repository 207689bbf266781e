"""AWQ as AutoAWQ writes it ("gemm").

A linear layer of K inputs and N outputs has, with n = 32 / bits codes a word:

    qweight  int32 (K, N / n)      codes, packed along the outputs
    qzeros   int32 (G, N / n)      zero points, packed likewise
    scales   float (G, N)

A word's i-th code, from the lowest bits up, belongs to its output ORDER[i].
Source: Lin et al., "AWQ" (2023); the layout is AutoAWQ's WQLinear_GEMM, that of 8 bits vLLM's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from halfbyte.converting.sources.quantized.affine import AffineTensor, Codes, Parts, unpacked
from halfbyte.converting.sources.quantized.checkpoint import (
    Checkpoint,
    HFTensor,
    groups_of,
)

ORDER = {4: (0, 2, 4, 6, 1, 3, 5, 7), 8: (0, 2, 1, 3)}


def read_awq(checkpoint: Checkpoint) -> dict[str, HFTensor]:
    """The quantized matrices by their plain names; takes what they are made of.

    Raises:
        ConversionError: another variant, or tensors that do not fit together.
    """
    bits = checkpoint.setting("bits", 4, 8)
    checkpoint.setting("version", "gemm", "GEMM", default="gemm")
    return {
        f"{module}.weight": _tensor(checkpoint, module, bits)
        for module in checkpoint.modules("qweight")
    }


def _tensor(checkpoint: Checkpoint, module: str, bits: int) -> HFTensor:
    n = 32 // bits
    qweight = checkpoint.take(f"{module}.qweight", "I32")
    scales = checkpoint.take(f"{module}.scales", "F16", "BF16", "F32")
    qzeros = checkpoint.take(f"{module}.qzeros", "I32")
    n_inputs, n_words = checkpoint.matrix(qweight)
    n_rows, size = n_words * n, checkpoint.group_size(n_inputs)
    n_groups = -(-n_inputs // size)
    checkpoint.check_shape(scales, (n_groups, n_rows))
    checkpoint.check_shape(qzeros, (n_groups, n_words))

    def groups() -> tuple[NDArray[np.float32], NDArray[np.int16], NDArray[np.int64]]:
        zeros = _in_order(qzeros.raw(), bits).astype(np.int16)
        return scales.floats().T, zeros.T, groups_of(n_inputs, size)

    def codes() -> Codes:
        return np.ascontiguousarray(_in_order(qweight.raw(), bits).T)

    parts = Parts(bits, codes, groups, [qweight, qzeros, scales])
    return AffineTensor(f"{module}.weight", (n_rows, n_inputs), parts)


def _in_order(words: NDArray[np.int32], bits: int) -> Codes:
    """The codes of (rows, N / n) words in the order of their outputs: (rows, N)."""
    order = ORDER[bits]
    codes = unpacked(words, bits).reshape(len(words), -1, len(order))
    return codes[..., np.argsort(order)].reshape(len(words), -1)
