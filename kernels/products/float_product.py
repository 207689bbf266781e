"""The product with weights that are not quantized; for its arguments see matmul.py."""

from __future__ import annotations

from collections.abc import Callable

from halfbyte.kernels.layouts.panels import PanelFormat
from halfbyte.kernels.vectors.tiles import (
    add_outer,
    load_column,
    load_column_bf16,
    load_column_f16,
    store_tile,
    zeros,
)


def float_product(fmt: PanelFormat, R: int, T: int) -> Callable[..., None]:
    """Float weights and activations: one fused multiply-add for each input."""
    KIND, NBYTES = ("F32", "F16", "BF16").index(fmt.name), 16 * fmt.source.block_nbytes

    def matmul(w, n_panels, n_units, begin, end, x, x_stride, n_tokens, y, y_stride, add):
        for panel in range(2 * begin, 2 * end, R):
            for token in range(0, n_tokens, T):
                acc = zeros(R, T)
                for k in range(n_units):
                    at = w + (panel * n_units + k) * NBYTES
                    if KIND == 0:
                        column = load_column(at, n_units * NBYTES, R)
                    elif KIND == 1:
                        column = load_column_f16(at, n_units * NBYTES, R)
                    else:
                        column = load_column_bf16(at, n_units * NBYTES, R)
                    acc = add_outer(acc, column, x + token * x_stride + 4 * k, x_stride, T)
                store_tile(acc, y + panel * 64 + token * y_stride, 64, y_stride, add,
                           n_tokens - token, R, T)  # fmt: skip

    return matmul
