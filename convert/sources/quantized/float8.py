"""Weights in 8-bit floats with a scale for blocks, rows or the whole matrix.

    w[row, k] = float(code[row, k]) * scale[row / block rows, k / block inputs]

The product is rounded to float32 once, as torch does. E4M3 is that of "FP8 Formats for Deep
Learning" (Micikevicius et al., 2022): no infinities, and NaN where all lower bits are set.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from halfbyte.converting.sources.quantized.checkpoint import Checkpoint, HFTensor
from halfbyte.converting.sources.safetensors_file import StoredTensor
from halfbyte.kernels.formats.block_format import BlockFormat

FLOAT8 = ("F8_E4M3", "F8_E5M2")
_SCALES = ("weight_scale_inv", "weight_scale")
# How inputs would be rounded, and cached keys and values: nothing that the weights depend on.
_OF_ACTIVATIONS = (
    "input_scale", "activation_scale", "input_scale_ub", "k_scale", "v_scale", "q_scale",
    "output_scale", "input_global_scale",
)  # fmt: skip


class Float8Tensor:
    """A matrix of 8-bit floats; `block` is how many rows and inputs share a scale."""

    is_quantized = True
    format: BlockFormat | None = None

    def __init__(
        self, weight: StoredTensor, scale: NDArray[np.float32], block: tuple[int, int]
    ) -> None:
        self.name, self.shape, self.path = weight.name, weight.shape, Path(weight.file.path)
        self._weight, self._scale, self._block = weight, scale, block

    def rows(self, index: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """Some rows as float32."""
        n_rows, n_inputs = self.shape
        wanted = np.arange(n_rows)[index]
        if not len(wanted):
            return np.empty((0, n_inputs), np.float32)
        begin = int(wanted.min())
        codes = self._weight.raw(begin, int(wanted.max()) + 1)[wanted - begin]
        out = _VALUES[self._weight.dtype][codes]
        scale = self._scale[wanted // self._block[0]]
        out *= scale[:, np.arange(n_inputs) // self._block[1]]
        return out

    def stored(self, index: slice | NDArray[np.int64]) -> NDArray[np.uint8]:
        """No type of GGUF holds it without rounding."""
        raise ValueError(f"{self.name}: no type holds it without rounding")

    def prefetch(self) -> None:
        """Have it read from the disk in the background."""
        self._weight.prefetch()

    def release(self) -> None:
        """It keeps nothing."""


def read_fp8(checkpoint: Checkpoint) -> dict[str, HFTensor]:
    """The matrices in 8-bit floats by their names; takes them and their scales.

    Raises:
        ConversionError: another variant, or a matrix without scales that fit.
    """
    block = checkpoint.settings.get("weight_block_size")
    found = {
        name: float8_tensor(checkpoint, name.removesuffix(".weight"), block)
        for name, tensor in checkpoint.rest().items()
        if name.endswith(".weight") and tensor.dtype in FLOAT8
    }
    drop_activation_scales(checkpoint)
    return found


def float8_tensor(checkpoint: Checkpoint, module: str, block: object = None) -> HFTensor:
    """A matrix and its scale, whose shape says what it is for: `block` the settings' block."""
    weight = checkpoint.take(f"{module}.weight", *FLOAT8)
    n_rows, n_inputs = checkpoint.matrix(weight)
    name = next((n for n in _SCALES if checkpoint.peek(f"{module}.{n}") is not None), _SCALES[-1])
    scale = checkpoint.take(f"{module}.{name}", "F32", "BF16", "F16")
    shapes: dict[tuple[int, ...], tuple[int, int]] = {
        (): (n_rows, n_inputs), (1,): (n_rows, n_inputs), (1, 1): (n_rows, n_inputs),
        (n_rows,): (1, n_inputs), (n_rows, 1): (1, n_inputs),
    }  # fmt: skip
    if block is not None:
        size = _block_size(checkpoint, block)
        shapes = {(-(-n_rows // size[0]), -(-n_inputs // size[1])): size}
    checkpoint.check_shape(scale, *shapes)
    size = shapes[scale.shape]
    values = scale.floats().reshape(-(-n_rows // size[0]), -1)
    return Float8Tensor(weight, values, size)


def drop_activation_scales(checkpoint: Checkpoint) -> None:
    """Leave out what says how activations are rounded elsewhere."""
    for part in _OF_ACTIVATIONS:
        for module in checkpoint.modules(part):
            checkpoint.drop(f"{module}.{part}")


def _block_size(checkpoint: Checkpoint, block: object) -> tuple[int, int]:
    if isinstance(block, str):  # "128x128", as compressed-tensors has it too
        block = [int(n) if n.isdecimal() else n for n in block.split("x")]
    if (
        not isinstance(block, list)
        or len(block) != 2
        or not all(type(n) is int and n > 0 for n in block)
    ):
        raise checkpoint.unsupported("weight_block_size", "two whole numbers above 0", block)
    return block[0], block[1]


def _e4m3() -> NDArray[np.float32]:
    code = np.arange(256)
    exponent, mantissa = code >> 3 & 15, code & 7
    size = np.where(
        exponent == 0, mantissa / 8 * 2.0**-6, (1 + mantissa / 8) * 2.0 ** (exponent - 7)
    )
    size[(code & 127) == 127] = np.nan
    return np.where(code < 128, size, -size).astype(np.float32)


def _e5m2() -> NDArray[np.float32]:
    # The upper half of a number in half precision.
    return (np.arange(256, dtype=np.uint16) << np.uint16(8)).view(np.float16).astype(np.float32)


E4M3 = _e4m3()
_VALUES: Mapping[str, NDArray[np.float32]] = {"F8_E4M3": E4M3, "F8_E5M2": _e5m2()}
