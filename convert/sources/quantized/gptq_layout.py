"""GPTQ as AutoGPTQ and GPTQModel write it.

A linear layer of K inputs and N outputs has, with n = 32 / bits codes a word:

    qweight  int32 (K / n, N)      codes, packed along the inputs
    qzeros   int32 (G, N / n)      zero points less one ("gptq") or as they are ("gptq_v2")
    scales   float (G, N)
    g_idx    int32 (K,)            the group of each input; absent where groups are in order

Source: Frantar et al., "GPTQ" (2022); the layout is AutoGPTQ's QuantLinear.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from halfbyte.converting.sources.quantized.affine import AffineTensor, Parts, unpacked
from halfbyte.converting.sources.quantized.checkpoint import (
    Checkpoint,
    HFTensor,
    group_index,
    groups_of,
)

_INDEX = ("I32", "I64")


def read_gptq(checkpoint: Checkpoint) -> dict[str, HFTensor]:
    """The quantized matrices by their plain names; takes what they are made of.

    Raises:
        ConversionError: another variant, or tensors that do not fit together.
    """
    bits = checkpoint.setting("bits", 4, 8)
    written = checkpoint.setting("checkpoint_format", "gptq", "gptq_v2", default="gptq")
    for key in ("is_marlin_format", "dynamic"):  # dynamic: other settings for some modules
        checkpoint.setting(key, None, False, {})
    checkpoint.setting("pack_dtype", "int32", default="int32")
    one = int(written == "gptq")
    return {
        f"{module}.weight": _tensor(checkpoint, module, bits, one)
        for module in checkpoint.modules("qweight")
    }


def _tensor(checkpoint: Checkpoint, module: str, bits: int, one: int) -> HFTensor:
    n = 32 // bits
    qweight = checkpoint.take(f"{module}.qweight", "I32")
    scales = checkpoint.take(f"{module}.scales", "F16", "BF16", "F32")
    qzeros = checkpoint.take(f"{module}.qzeros", "I32")
    n_words, n_rows = checkpoint.matrix(qweight)
    n_inputs = n_words * n
    size = checkpoint.group_size(n_inputs)
    n_groups = -(-n_inputs // size)
    checkpoint.check_shape(scales, (n_groups, n_rows))
    checkpoint.check_shape(qzeros, (n_groups, -(-n_rows // n)))
    order = None
    if checkpoint.peek(f"{module}.g_idx") is not None:
        order = checkpoint.take(f"{module}.g_idx", *_INDEX)
        checkpoint.check_shape(order, (n_inputs,))
    index = groups_of(n_inputs, size) if order is None else group_index(checkpoint, order, n_groups)

    def groups() -> tuple[NDArray[np.float32], NDArray[np.int16], NDArray[np.int64]]:
        stored_zeros = unpacked(qzeros.raw(), bits)[:, :n_rows].astype(np.int16)
        zeros = (stored_zeros + np.int16(one)) & np.int16((1 << bits) - 1)
        return scales.floats().T, zeros.T, index

    stored = [qweight, qzeros, scales]
    parts = Parts(bits, lambda: unpacked(qweight.raw().T, bits), groups, stored)
    return AffineTensor(f"{module}.weight", (n_rows, n_inputs), parts)
