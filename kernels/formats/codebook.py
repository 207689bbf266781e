"""The IQ types of 1 to 3 bits: indices of a codebook, whose entries are the sizes of 8 or 4 inputs.

IQ2_XXS  w = d / 8 * (2 s + 1) * v     v: 8, 25 or 43; s: 4 bits for 32 inputs
IQ2_XS   the same                      s for 16 inputs
IQ2_S    the same
IQ3_XXS  w = d / 4 * (2 s + 1) * v     v: 4, 12, ... 52 or 62; s: 4 bits for 32 inputs
IQ3_S    w = d * (2 s + 1) * v         v: 1, 3, ... 15
IQ1_S    w = d / 8 * (2 s + 1) * v     v: -8, 0 or 8, and one more or less; s: 3 bits for 32 inputs
IQ1_M    the same                      s for 16 inputs

v has a sign of its own in the types of 2 and 3 bits; in those of one, all of 32 (IQ1_M: 8) inputs
have one more or one less. All are read as codes of 3 or 4 bits that stand for v in a table, and
bytes 2 s + 1: the upper bit of a code is the sign, or "less".

Source: ggml's block_iq2_xxs and so on, and their dequantize_row_*.
"""

from __future__ import annotations

import numpy as np

from halfbyte.kernels.formats.block_format import BlockFormat, Plane, SubScales
from halfbyte.kernels.formats.k import byte_at

_D = ("d", "<f2")
_IQ2 = (8, 25, 43, 0, -8, -25, -43, 0)
_IQ3_XXS = (4, 12, 20, 28, 36, 44, 52, 62, -4, -12, -20, -28, -36, -44, -52, -62)
_IQ3_S = (1, 3, 5, 7, 9, 11, 13, 15, -1, -3, -5, -7, -9, -11, -13, -15)
_IQ1 = (-7, 1, 9, 0, -9, -1, 7, 0)


def _plain(
    name: str, ggml_id: int, table: tuple[int, ...], size: int, factor: float
) -> BlockFormat:
    """Codes and scales of a byte each, scales for `size` inputs."""
    planes = (Plane("qs", 4, 0),) if len(table) == 16 else (Plane("qs", 2, 0), Plane("qs", 1, 0))
    return BlockFormat(
        name, ggml_id, 256, np.dtype([_D, ("scales", "i1", 256 // size), ("qs", "u1", 256)]),
        planes, table=table, scales=SubScales(size, 8, 0, byte_at), factor=factor,
    )  # fmt: skip


_PLAIN_IQ2_XS = _plain("IQ2_XS", 17, _IQ2, 16, 0.125)

IQ2_XXS = BlockFormat(
    "IQ2_XXS", 16, 256, np.dtype([_D, ("qs", "<u2", 32)]),
    plain=_plain("IQ2_XXS", 16, _IQ2, 32, 0.125),
)  # fmt: skip
IQ2_XS = BlockFormat(
    "IQ2_XS", 17, 256, np.dtype([_D, ("qs", "<u2", 32), ("scales", "u1", 8)]), plain=_PLAIN_IQ2_XS
)  # fmt: skip
IQ2_S = BlockFormat(
    "IQ2_S", 22, 256,
    np.dtype([_D, ("qs", "u1", 32), ("signs", "u1", 32), ("qh", "u1", 8), ("scales", "u1", 8)]),
    plain=_PLAIN_IQ2_XS,
)  # fmt: skip
IQ3_XXS = BlockFormat(
    "IQ3_XXS", 18, 256, np.dtype([_D, ("qs", "u1", 64), ("scales", "<u4", 8)]),
    plain=_plain("IQ3_XXS", 18, _IQ3_XXS, 32, 0.25),
)  # fmt: skip
IQ3_S = BlockFormat(
    "IQ3_S", 21, 256,
    np.dtype([_D, ("qs", "u1", 64), ("qh", "u1", 8), ("signs", "u1", 32), ("scales", "u1", 4)]),
    plain=_plain("IQ3_S", 21, _IQ3_S, 32, 1.0),
)  # fmt: skip
IQ1_S = BlockFormat(
    "IQ1_S", 19, 256, np.dtype([_D, ("qs", "u1", 32), ("qh", "<u2", 8)]),
    plain=_plain("IQ1_S", 19, _IQ1, 32, 0.125),
)  # fmt: skip
IQ1_M = BlockFormat(
    "IQ1_M", 29, 256, np.dtype([("qs", "u1", 32), ("qh", "u1", 16), ("scales", "<u2", 4)]),
    plain=_plain("IQ1_M", 29, _IQ1, 16, 0.125),
)  # fmt: skip
