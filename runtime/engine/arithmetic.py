"""How a model's weights and activations meet: as integers of 8 bits, or both as bf16.

    int8   exact integers within a block, scaled and summed in float32 (kernels/products/matmul.py)
    bf16   both rounded to bf16, summed in float32 (kernels/products/bf16_product.py)

Matrices of F32 stay what they are in either, and so do those of F16 and BF16 in the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from halfbyte.errors import RequestError
from halfbyte.import_lock import Later
from halfbyte.kernels.compiler.jit import Kernel
from halfbyte.kernels.layouts.activations import ARITHMETICS
from halfbyte.kernels.layouts.panels import PanelFormat
from halfbyte.kernels.products.matmul import (
    NARROW,
    VECTORS,
    many_tokens,
    matmul_kernel,
    narrow_tokens,
    tile_tokens,
    ways,
)

if TYPE_CHECKING:
    from halfbyte.kernels.products import bf16_product
else:  # few ask for it
    bf16_product = Later("halfbyte.kernels.products.bf16_product")


def check_arithmetic(arithmetic: str) -> None:
    """RequestError where it is none of ARITHMETICS."""
    if not isinstance(arithmetic, str) or arithmetic not in ARITHMETICS:
        expected = f"one of {', '.join(ARITHMETICS)}"
        raise RequestError("arithmetic", expected=expected, got=repr(arithmetic))


def record_nbytes(fmt: PanelFormat, arithmetic: str) -> int:
    """How long the records are that a matrix of a format takes; 0: it takes floats."""
    if _in_bf16(fmt, arithmetic) or fmt.is_quantized:
        return ARITHMETICS[arithmetic]
    return 0


def product_kernels(fmt: PanelFormat, arithmetic: str) -> dict[str, Kernel]:
    """The kernels of a matrix's products by their way (matmul.WAYS)."""
    if _in_bf16(fmt, arithmetic):
        return {NARROW: bf16_product.bf16_kernel(fmt.kernel_name)}
    name = fmt.kernel_name
    return {way: matmul_kernel(name, way) for way in ways(name)}


def token_numbers(fmt: PanelFormat, arithmetic: str) -> tuple[int, int, int, int]:
    """How many tokens each way takes at a time, and how many may lack of MANY's."""
    if _in_bf16(fmt, arithmetic):
        return 1, 1, 1, 0  # there is one kernel for any number
    name = fmt.kernel_name
    return (narrow_tokens(name), tile_tokens(VECTORS), *many_tokens(name))


def _in_bf16(fmt: PanelFormat, arithmetic: str) -> bool:
    return arithmetic == "bf16" and bf16_product.takes_bf16(fmt)
