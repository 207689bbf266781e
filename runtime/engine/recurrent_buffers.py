"""The buffers of recurrent layers' stages, by kind, and their threads' own memory."""

from __future__ import annotations

from halfbyte.engine.mamba2_records import mamba2_work_nbytes, projected_stride
from halfbyte.families.config import ModelConfig
from halfbyte.families.delta_net_config import DeltaNet
from halfbyte.families.mamba2_config import Mamba2
from halfbyte.families.short_conv_config import ShortConv
from halfbyte.kernels.layouts.activations import padded
from halfbyte.kernels.layouts.delta_states import work_nbytes
from halfbyte.kernels.layouts.panels import STRIP_ROWS
from halfbyte.kernels.stages import short_conv


def recurrent_strides(c: ModelConfig) -> dict[str, int]:
    """Bytes of a row of each buffer: what a layer's matrices give, and `mixed`."""
    match c.recurrent:
        case Mamba2() as m:
            source = {"zxbcdt": projected_stride(m)}
        case ShortConv() as s:
            source = {"bcx": 4 * (_in_strips(3 * s.dim) + STRIP_ROWS)}
        case DeltaNet() as d:
            source = {"qkvz": 4 * d.row_dim}
        case _:
            raise TypeError(f"no buffers for {c.recurrent}")
    return {**source, "mixed": 4 * padded(c.recurrent.output_dim)}


def recurrent_work_nbytes(c: ModelConfig) -> int:
    """Bytes of a thread's own memory that a chunk takes."""
    match c.recurrent:
        case ShortConv() as s:
            return short_conv.ring_nbytes(s.n_taps, s.dim)
        case Mamba2() as m:
            return mamba2_work_nbytes(m)
        case DeltaNet() as d:
            return work_nbytes(d.key_dim, d.value_dim, d.n_parts, d.n_taps)
    raise TypeError(f"no memory for {c.recurrent}")


def _in_strips(n_rows: int) -> int:
    return -(-n_rows // STRIP_ROWS) * STRIP_ROWS
