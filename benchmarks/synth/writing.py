"""A file of tensors whose bytes are written one at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray

from .blocks import RandomBlocks, Young
from .floats import Valued

Bytes = NDArray[np.uint8]
Typed = tuple[str, tuple[int, ...], Type | Young]


def write_tensors(
    writer: gguf.GGUFWriter,
    matrices: Iterable[Typed],
    floats: Iterable[Valued],
    change: Callable[[str, Bytes], None] = lambda name, rows: None,
) -> None:
    """Write keys and tensors, and close the file.

    Args:
        writer: has all keys, and no tensor.
        matrices: of random blocks: name, sizes and type of each.
        floats: name and values of each.
        change: may change the bytes of a matrix, (rows, bytes of a row), in place.
    """
    matrices, floats = list(matrices), list(floats)
    for name, dims, kind in matrices:
        row_shape = gguf.quant_shape_to_byte_shape(dims, kind)
        nbytes = math.prod(row_shape)
        writer.add_tensor_info(name, row_shape, np.dtype(np.uint8), nbytes, raw_dtype=kind)
    for name, values in floats:
        writer.add_tensor_info(name, values.shape, values.dtype, values.nbytes)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    blocks = {kind: RandomBlocks(kind) for kind in {kind for _, _, kind in matrices}}
    for name, dims, kind in matrices:
        rows = blocks[kind].matrix(dims)
        change(name, rows)
        writer.write_tensor_data(rows)
    for _, values in floats:
        writer.write_tensor_data(values)
    writer.close()
