"""Numbers at an address against NumPy; those of half precision are in test_simd.py."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from halfbyte.kernels.vectors.scalars import (
    get_f32,
    get_i32,
    get_i64,
    get_u8,
    get_u16,
    put_f32,
    put_i32,
    put_u16,
)

Call = Callable[..., None]


def numbers(source, out):
    put_f32(out, get_f32(source))
    put_i32(out + 4, get_i32(source + 5))
    put_i32(out + 8, np.int32(get_u8(source + 7)))
    put_i32(out + 12, np.int32(get_u16(source + 9)))
    put_u16(out + 16, get_u16(source + 11))
    put_i32(out + 18, np.int32(get_i64(source + 3) >> 32))


def test_numbers_at_odd_addresses(call: Call) -> None:
    source = np.random.default_rng(9).integers(128, 256, 24).astype(np.uint8)
    source[:4] = np.frombuffer(np.float32(1.25).tobytes(), np.uint8)
    out = np.zeros(24, np.uint8)
    call(numbers, source, out)
    raw, got = source.tobytes(), out.tobytes()
    assert got[:4] == raw[:4]
    assert got[4:8] == raw[5:9]
    assert int.from_bytes(got[8:12], "little") == raw[7]
    assert int.from_bytes(got[12:16], "little") == int.from_bytes(raw[9:11], "little")
    assert got[16:18] == raw[11:13]
    assert got[18:22] == raw[7:11]
