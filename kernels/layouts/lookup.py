"""A row of packed panels (panels.py) as floats: the embedding of a token."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from halfbyte.kernels.compiler.jit import Kernel, device, kernel_maker
from halfbyte.kernels.formats.codes import code_value, get_number
from halfbyte.kernels.layouts.panels import PANEL_FORMATS, PanelFormat
from halfbyte.kernels.vectors.scalars import get_f16, get_f32, get_u8, get_u16, put_f32, put_i32


@kernel_maker
def lookup_kernel(name: str) -> Kernel:
    """The function that unpacks one row: (w, n_panels, n_units, row, out floats)."""
    fmt = PANEL_FORMATS[name]
    if fmt.is_quantized:
        function = _lookup_blocks(fmt)
    else:
        function = {"F32": _lookup_f32, "F16": _lookup_f16, "BF16": _lookup_bf16}[name]
    return Kernel(function, f"lookup_{name}")


@device
def _code(LOW, HIGH, codes, k):
    """The code of input k of a unit; `codes` is the row's lane of the unit's first vector."""
    g, i = k // 4, k % 4
    if LOW == 8:
        return np.int64(np.int8(get_u8(codes + 64 * g + i)))
    if LOW == 4:
        code = np.int64(get_u8(codes + 64 * (g % 4) + i)) >> (g // 4 * 4) & 15
    else:
        code = np.int64(get_u8(codes + 64 * (g // 4) + i)) >> (g % 4 * 2) & 3
    if HIGH == 1:
        code |= (np.int64(get_u8(codes + 64 * LOW + i)) >> g & 1) << LOW
    elif HIGH == 2:
        code |= (np.int64(get_u8(codes + 64 * (LOW + g // 4) + i)) >> (g % 4 * 2) & 3) << LOW
    return code


def _lookup_blocks(fmt: PanelFormat) -> Callable[..., None]:
    LOW, HIGH, BITS, SUBS = fmt.source.low, fmt.source.high, fmt.bits, fmt.n_subs
    IS_SUPER, HAS_MINIMA, OFFSET = fmt.is_super, fmt.has_minima, fmt.source.offset
    SHARES_BYTES, IS_POWER, TABLE = fmt.shares_bytes, fmt.source.is_power, fmt.source.table or None
    PART = 32 // SUBS
    NUMBER = 1 if IS_POWER else 2
    SCALES, MINIMA, D, DMIN, _ = fmt.parts

    def lookup(w, n_panels, n_units, row, out):
        panel, lane, n = row // 16, row % 16, n_panels * n_units
        scales, minima = w + n * SCALES, w + n * MINIMA
        super_d, super_m = w + n * D, w + n * DMIN
        for unit in range(n_units):
            at = panel * n_units + unit
            for sub in range(SUBS):
                m = np.float32(0)
                if IS_SUPER:
                    byte = get_u8(scales + (at * SUBS + sub) * 16 + lane)
                    d = get_f16(super_d + at // 8 * 32 + 2 * lane)
                    if SHARES_BYTES:
                        d *= np.float32(byte & 15)
                        m = get_f16(super_m + at // 8 * 32 + 2 * lane) * np.float32(byte >> 4)
                    else:
                        d *= np.float32(np.int8(byte))
                        if HAS_MINIMA:
                            m = get_f16(super_m + at // 8 * 32 + 2 * lane)
                            m *= np.float32(get_u8(minima + at * 16 + lane))
                else:
                    d = get_number(IS_POWER, scales + (at * 16 + lane) * NUMBER)
                    if HAS_MINIMA:
                        m = get_f16(minima + at * 32 + 2 * lane)
                for k in range(PART * sub, PART * (sub + 1)):
                    code = _code(LOW, HIGH, w + at * BITS * 64 + 4 * lane, k)
                    value = d * np.float32(code_value(TABLE, OFFSET, code))
                    put_f32(out + 4 * (32 * unit + k), value + m if HAS_MINIMA else value)

    return lookup


def _lookup_f32(w, n_panels, n_units, row, out):
    for k in range(n_units):
        put_f32(out + 4 * k, get_f32(w + 4 * ((row // 16 * n_units + k) * 16 + row % 16)))


def _lookup_f16(w, n_panels, n_units, row, out):
    for k in range(n_units):
        put_f32(out + 4 * k, get_f16(w + 2 * ((row // 16 * n_units + k) * 16 + row % 16)))


def _lookup_bf16(w, n_panels, n_units, row, out):
    for k in range(n_units):
        bits = get_u16(w + 2 * ((row // 16 * n_units + k) * 16 + row % 16))
        put_i32(out + 4 * k, np.int32(bits) << np.int32(16))
