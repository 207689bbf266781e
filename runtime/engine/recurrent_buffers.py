"""The buffers of recurrent layers' stages, by kind, and their threads' own memory."""

from __future__ import annotations

from halfbyte.families.config import ModelConfig
from halfbyte.families.short_conv_config import ShortConv
from halfbyte.kernels.layouts.activations import padded
from halfbyte.kernels.layouts.panels import STRIP_ROWS
from halfbyte.kernels.stages import short_conv


def recurrent_strides(c: ModelConfig) -> dict[str, int]:
    """Bytes of a row of each buffer: what a layer's matrices give, and `mixed`."""
    match c.recurrent:
        case None:
            return {}
        case ShortConv() as s:
            source = {"bcx": 4 * (_in_strips(3 * s.dim) + STRIP_ROWS)}
        case _:
            raise TypeError(f"no buffers for {c.recurrent}")
    return {**source, "mixed": 4 * padded(c.recurrent.output_dim)}


def recurrent_work_nbytes(c: ModelConfig) -> int:
    """Bytes of a thread's own memory that a chunk takes."""
    match c.recurrent:
        case ShortConv() as s:
            return short_conv.ring_nbytes(s.n_taps, s.dim)
    return 0


def _in_strips(n_rows: int) -> int:
    return -(-n_rows // STRIP_ROWS) * STRIP_ROWS
