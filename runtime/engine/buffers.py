"""The memory between the stages of a step: one set a model, made when it is loaded.

Rows are padded to 32 floats, and to the strips of the matrices that write them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from halfbyte.engine.memory import zeros
from halfbyte.families.config import ModelConfig
from halfbyte.kernels.layouts.activations import BLOCK, RECORD_NBYTES, padded
from halfbyte.kernels.layouts.kv_pages import KVLayout
from halfbyte.kernels.layouts.panels import STRIP_ROWS
from halfbyte.kernels.stages import attention

MAX_BATCH = 256  # rows of a step: the activations of a 7B model's layer then fit the L2 cache


@dataclass(frozen=True, slots=True)
class Buffer:
    """MAX_BATCH rows at an address, `stride` bytes apart."""

    address: int
    stride: int


class Buffers:
    """The buffers of families/stages.py by name, and each thread's own memory.

    Attributes:
        records: where the 8-bit form of `normed` or `attended` lies.
        scratch: thread 0's own memory, `scratch.stride` bytes a thread: a normed row, then, at
            `records_at`, its records, and at `work_at` room for what a chunk needs.
    """

    def __init__(self, c: ModelConfig, layout: KVLayout, n_threads: int) -> None:
        self._memory: list[np.ndarray] = []
        q, kv, hidden = (_in_strips(n) for n in (c.q_dim, c.kv_dim, c.hidden_dim))
        dim, attended = padded(c.dim), padded(c.q_dim) + STRIP_ROWS
        self._by_name = {
            "x": self._rows(4 * dim),
            "normed": self._rows(4 * dim),
            "qkv": self._rows(4 * (q + 2 * kv), 256),  # values are read in pairs of vectors
            "attended": self._rows(4 * attended),
            "hidden": self._rows(4 * hidden),
        }
        n_records = max(dim, attended) // BLOCK * RECORD_NBYTES
        self.records = self._rows(n_records).address
        work = max(4 * attention.scratch_floats(layout.value_dim), 2 * MAX_BATCH * 4 * STRIP_ROWS)
        self.records_at, self.work_at = 4 * dim, 4 * dim + n_records
        stride = self.work_at + work
        self.scratch = Buffer(self._bytes(stride * n_threads), stride)
        self.logits_width = _in_strips(c.vocab_size)

    def __getitem__(self, name: str) -> Buffer:
        return self._by_name[name]

    def _rows(self, stride: int, beyond: int = 0) -> Buffer:
        return Buffer(self._bytes(stride * MAX_BATCH + beyond), stride)

    def _bytes(self, nbytes: int) -> int:
        self._memory.append(zeros("a step's buffers", nbytes // 8 + 16, np.int64))
        return int(self._memory[-1].ctypes.data)


def _in_strips(n_rows: int) -> int:
    return -(-n_rows // STRIP_ROWS) * STRIP_ROWS
