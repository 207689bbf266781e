"""Codes and integers written into a block and read back, against NumPy on the block's bits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from halfbyte.kernels.formats.block_format import BlockFormat
from halfbyte.kernels.formats.codes import (
    code_planes,
    get_integer,
    get_word,
    put_bits,
    put_integer,
    sub_integers,
)
from halfbyte.kernels.formats.registry import FORMATS
from halfbyte.kernels.vectors.scalars import get_i64, get_u8, put_i32
from tests.kernels.checked import CHECKED

Call = Callable[..., None]
QUANTIZED = [FORMATS[n] for n in CHECKED if FORMATS[n].is_quantized and not FORMATS[n].plain]
SUPER = [fmt for fmt in QUANTIZED if fmt.scales is not None and fmt.has_number]


def _planes(fmt: BlockFormat, number: int) -> Callable[..., None]:
    PLANE = code_planes(fmt)[number]
    N = fmt.block_size

    def put_and_get(codes, block, words):
        for i in range(N):
            put_bits(PLANE, block, i, np.int64(get_u8(codes + i)))
        for i in range(N // 4):
            put_i32(words + 4 * i, get_word(PLANE, block, i // 8, i % 8))

    return put_and_get


@pytest.mark.parametrize("fmt", QUANTIZED, ids=lambda fmt: fmt.name)
def test_planes_hold_codes(call: Call, fmt: BlockFormat) -> None:
    rng = np.random.default_rng(fmt.ggml_id)
    for number, plane in enumerate(fmt.planes):
        codes = rng.integers(0, 1 << plane.bits, fmt.block_size).astype(np.uint8)
        block, words = np.zeros((), fmt.dtype), np.empty_like(codes)
        call(_planes(fmt, number), codes, block, words)
        assert (words == codes).all()
        # By the definition of a run: its bytes one after the other, each part from bit 0 up.
        parts = codes.reshape(-1, 8 // plane.bits, plane.run)
        expected = sum(parts[:, k] << (plane.bits * k) for k in range(parts.shape[1]))
        assert block[plane.field].tobytes() == np.asarray(expected, np.uint8).tobytes()


def _integers(fmt: BlockFormat, number: int) -> Callable[..., None]:
    AT, INTEGER = sub_integers(fmt)[number]
    assert fmt.scales is not None
    N = fmt.block_size // fmt.scales.size

    def put_and_get(values, block, out):
        for i in range(N):
            put_integer(AT, INTEGER, block, i, get_i64(values + 8 * i))
        for i in range(N):
            put_i32(out + 4 * i, np.int32(get_integer(AT, INTEGER, block, i)))

    return put_and_get


@pytest.mark.parametrize("fmt", SUPER, ids=lambda fmt: fmt.name)
def test_sub_blocks_hold_integers(call: Call, fmt: BlockFormat) -> None:
    assert fmt.scales is not None
    n, (least, largest) = fmt.block_size // fmt.scales.size, fmt.scales.ends
    rng = np.random.default_rng(fmt.ggml_id)
    block = np.zeros((), fmt.dtype)
    for number, (low, high) in enumerate([(least, largest), (0, largest)][: 1 + bool(fmt.addend)]):
        values = rng.integers(low, high + 1, n)
        values[[0, -1]] = low, high
        out = np.empty(n, np.int32)
        call(_integers(fmt, number), values, block, out)
        assert (out == values).all()
    assert block["d"] == 0  # nothing else is touched


def test_types_without_sub_blocks_have_no_integers() -> None:
    assert [at for at, _ in sub_integers(FORMATS["Q4_1"])] == [None, None]
