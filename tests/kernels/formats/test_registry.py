"""Every tensor type: what it states against `gguf`, against itself, and that it has its kernels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import gguf
import pytest

from halfbyte.kernels.formats.block_format import BlockFormat
from halfbyte.kernels.formats.registry import BY_GGML_ID, FORMATS
from halfbyte.kernels.layouts.lookup import lookup_kernel
from halfbyte.kernels.layouts.packing import pack_kernel
from halfbyte.kernels.layouts.panels import PANEL_FORMATS
from halfbyte.kernels.products.matmul import matmul_kernel, ways
from halfbyte.kernels.quantizers.dequantize import dequantizer
from halfbyte.kernels.quantizers.quantize import quantizer

QUANTIZED = [fmt for fmt in FORMATS.values() if fmt.is_quantized]
SUPER = [fmt for fmt in QUANTIZED if fmt.scales is not None]


def test_each_type_stands_once() -> None:
    assert len(FORMATS) == len(BY_GGML_ID) == 14
    assert all(name == fmt.name for name, fmt in FORMATS.items())
    assert {id(fmt) for fmt in BY_GGML_ID.values()} == {id(fmt) for fmt in FORMATS.values()}


@pytest.mark.parametrize("fmt", FORMATS.values(), ids=FORMATS)
def test_numbers_and_sizes_are_those_of_gguf(fmt: BlockFormat) -> None:
    kind = gguf.GGMLQuantizationType[fmt.name]
    assert BY_GGML_ID[kind] is fmt
    assert (fmt.block_size, fmt.block_nbytes) == gguf.GGML_QUANT_SIZES[kind]
    assert fmt.row_nbytes(3 * fmt.block_size) == 3 * fmt.block_nbytes


@pytest.mark.parametrize("fmt", QUANTIZED, ids=lambda fmt: fmt.name)
def test_rows_are_whole_blocks(fmt: BlockFormat) -> None:
    with pytest.raises(ValueError, match=f"{fmt.name}: a row of {fmt.block_size + 16} is not"):
        fmt.row_nbytes(fmt.block_size + 16)


@pytest.mark.parametrize("fmt", QUANTIZED, ids=lambda fmt: fmt.name)
def test_planes_fill_their_fields(fmt: BlockFormat) -> None:
    for plane in fmt.planes:
        field = fmt.dtype[plane.field]
        assert 8 * field.itemsize == plane.bits * fmt.block_size
        assert field.itemsize % plane.run == 0 and 8 % plane.bits == 0
    assert fmt.bits == fmt.low + fmt.high == sum(plane.bits for plane in fmt.planes)
    known = {plane.field for plane in fmt.planes} | {
        fmt.number,
        fmt.addend,
        "scales" if fmt.scales else "",
    }
    assert set(fmt.dtype.names or ()) <= known


def test_entries_of_a_table_fit_the_dot_products() -> None:
    """Bytes from 0 to 127 where that is possible, and zeros stay what a code of 0 means."""
    fmt = FORMATS["MXFP4"]
    assert (min(fmt.entries), max(fmt.entries), fmt.bias, fmt.table[0]) == (0, 24, 12, 0)
    wide = replace(fmt, table=(-127, *range(14), 113))
    assert (wide.entries, wide.bias) == (wide.table, 0)


@pytest.mark.parametrize("fmt", SUPER, ids=lambda fmt: fmt.name)
def test_integers_of_sub_blocks_fill_their_field(fmt: BlockFormat) -> None:
    scales = fmt.scales
    assert scales is not None and (scales.minimum_at is None) == (fmt.addend is None)
    used: Counter[int] = Counter()
    for at in (scales.scale_at, scales.minimum_at):
        for i in range(fmt.block_size // scales.size) if at else ():
            low, low_shift, high, high_shift = at(i)
            used.update(8 * low + low_shift + bit for bit in range(scales.low))
            used.update(8 * high + high_shift + bit for bit in range(scales.high))
    assert used == Counter(range(8 * fmt.dtype["scales"].itemsize))


@pytest.mark.parametrize("fmt", FORMATS.values(), ids=FORMATS)
def test_each_type_has_its_kernels(fmt: BlockFormat) -> None:
    kernels = [pack_kernel(fmt.name), lookup_kernel(fmt.name)]
    kernels += [matmul_kernel(fmt.name, way) for way in ways(fmt.name)]
    if fmt.is_quantized:
        kernels += [quantizer(fmt), dequantizer(fmt)]
    assert PANEL_FORMATS[fmt.name].source is fmt
    assert (
        len({kernel.name for kernel in kernels}) == len(kernels) >= (5 if fmt.is_quantized else 3)
    )


def test_stating_a_type_loads_no_numba(run_python: Callable[..., str]) -> None:
    source = "import sys; import halfbyte.kernels.formats.registry; print('numba' in sys.modules)"
    assert run_python(source) == "False\n"
