"""Every tensor type: what it states against `gguf`, against itself, and that it has its kernels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import gguf
import pytest

from halfbyte.kernels.formats.block_format import BlockFormat
from halfbyte.kernels.formats.registry import AS_READ, BY_GGML_ID, FORMATS
from halfbyte.kernels.layouts.lookup import lookup_kernel
from halfbyte.kernels.layouts.panel_packing import pack_kernel
from halfbyte.kernels.layouts.panels import PANEL_FORMATS
from halfbyte.kernels.products.matmul import matmul_kernel, ways
from halfbyte.kernels.quantizers.dequantize import dequantizer
from halfbyte.kernels.quantizers.quantize import READ_ONLY, quantizer

QUANTIZED = [fmt for fmt in FORMATS.values() if fmt.is_quantized]
PLAIN = [fmt for fmt in QUANTIZED if fmt.plain is None]
SUPER = [fmt for fmt in PLAIN if fmt.scales is not None]
# Younger than the package: number, weights and bytes of a block, from ggml's headers.
YOUNG = {"Q2_0": (42, 64, 18)}


def test_each_type_stands_once() -> None:
    assert len(FORMATS) == len(BY_GGML_ID) == 28
    assert all(name == fmt.name for name, fmt in FORMATS.items())
    assert {id(fmt) for fmt in BY_GGML_ID.values()} == {id(fmt) for fmt in FORMATS.values()}


@pytest.mark.parametrize("fmt", FORMATS.values(), ids=FORMATS)
def test_numbers_and_sizes_are_those_of_gguf(fmt: BlockFormat) -> None:
    if fmt.name in YOUNG:
        number, *sizes = YOUNG[fmt.name]
    else:
        number = gguf.GGMLQuantizationType[fmt.name]
        sizes = list(gguf.GGML_QUANT_SIZES[number])
    assert BY_GGML_ID[number] is fmt
    assert [fmt.block_size, fmt.block_nbytes] == sizes
    assert fmt.row_nbytes(3 * fmt.block_size) == 3 * fmt.block_nbytes


@pytest.mark.parametrize("fmt", QUANTIZED, ids=lambda fmt: fmt.name)
def test_rows_are_whole_blocks(fmt: BlockFormat) -> None:
    with pytest.raises(ValueError, match=f"{fmt.name}: a row of {fmt.block_size + 16} is not"):
        fmt.row_nbytes(fmt.block_size + 16)


@pytest.mark.parametrize("fmt", PLAIN, ids=lambda fmt: fmt.name)
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
        kernels += [dequantizer(fmt), *([] if fmt in READ_ONLY else [quantizer(fmt)])]
    assert PANEL_FORMATS[fmt.name].source is fmt
    assert (
        len({kernel.name for kernel in kernels}) == len(kernels) >= (4 if fmt.is_quantized else 3)
    )


@pytest.mark.parametrize("fmt", FORMATS.values(), ids=FORMATS)
def test_types_that_share_kernels_are_packed_alike(fmt: BlockFormat) -> None:
    fields = ("low", "high", "table", "offset", "factor", "addend", "block_size")
    own, other = (PANEL_FORMATS[name] for name in (fmt.name, PANEL_FORMATS[fmt.name].kernel_name))
    assert [getattr(own.blocks, f) for f in fields] == [getattr(other.blocks, f) for f in fields]
    if fmt.is_quantized:
        assert own.parts == other.parts and own.n_subs == other.n_subs
    assert AS_READ[own.blocks.ggml_id].table == own.blocks.table


def test_stating_a_type_loads_no_numba(run_python: Callable[..., str]) -> None:
    source = "import sys; import halfbyte.kernels.formats.registry; print('numba' in sys.modules)"
    assert run_python(source) == "False\n"
