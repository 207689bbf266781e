"""The memory between the stages of a step: one set a model, made when it is loaded.

Rows are padded to 32 floats, and to the strips of the matrices that write them.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from halfbyte.engine.memory import zeros
from halfbyte.families.config import ExpertsConfig, ModelConfig
from halfbyte.families.latent_config import LatentConfig
from halfbyte.families.registry import stages_of
from halfbyte.families.stages import GateAttended, PostNorm
from halfbyte.import_lock import Later
from halfbyte.kernels.layouts.activations import BLOCK, MOST_RECORD_NBYTES, padded
from halfbyte.kernels.layouts.kv_pages import MAX_GROUP, KVLayout
from halfbyte.kernels.layouts.panels import STRIP_ROWS
from halfbyte.kernels.products.dots import TILE_TOKENS
from halfbyte.kernels.stages import attention
from halfbyte.kernels.stages.latent import heads_work_nbytes
from halfbyte.kernels.stages.record import ACTIVE_NBYTES, PLAN
from halfbyte.lazy_dataclass import dataclass

if TYPE_CHECKING:
    from halfbyte.engine import recurrent_buffers
else:  # few models have such layers
    recurrent_buffers = Later("halfbyte.engine.recurrent_buffers")

_SORTED = ("gathered", "gathered_floats", "expert_hidden")  # rows by expert
MAX_BATCH = 256  # rows of a step: the activations of a 7B model's layer then fit the L2 cache


@dataclass(frozen=True, slots=True)
class Buffer:
    """MAX_BATCH rows at an address, `stride` bytes apart."""

    address: int
    stride: int


class Buffers:
    """The buffers of families/stages.py by name, and each thread's own memory.

    Attributes:
        records: where the records of `normed` or `attended` lie.
        scratch: thread 0's own memory, `scratch.stride` bytes a thread: a normed row, then, at
            `records_at`, its records, and at `work_at` room for what a chunk needs.
    """

    def __init__(self, c: ModelConfig, layout: KVLayout, n_threads: int) -> None:
        self._memory: list[np.ndarray] = []
        strides = _strides(c)
        # Values are read in pairs of vectors, and rows behind an expert's, up to a tile.
        beyond = {
            **dict.fromkeys(("qkv", "q", "latents", "far"), 256),
            **{name: TILE_TOKENS * strides.get(name, 0) for name in _SORTED},
        }
        self._by_name = {n: self._rows(s, beyond.get(n, 0)) for n, s in strides.items()}
        self.records = self._by_name["records"].address
        self.records_at = strides["normed"]
        self.work_at = self.records_at + strides["records"]
        stride = _scratch_nbytes(c, strides, layout)
        self.scratch = Buffer(self._bytes(stride * n_threads), stride)
        self.logits_width = _in_strips(c.vocab_size)
        self.plan = self._plan(c.experts) if c.experts else 0

    def __getitem__(self, name: str) -> Buffer:
        return self._by_name[name]

    def rows(self, name: str, n: int) -> NDArray[np.float32]:
        """The first n rows of a buffer of floats, with their padding: a view."""
        buffer = self._by_name[name]
        width = buffer.stride // 4
        floats = (ctypes.c_float * (n * width)).from_address(buffer.address)
        return np.frombuffer(memoryview(floats), np.float32).reshape(n, width)

    def _rows(self, stride: int, beyond: int = 0) -> Buffer:
        return Buffer(self._bytes(stride * MAX_BATCH + beyond), stride)

    def _plan(self, e: ExpertsConfig) -> int:
        """Who gets which rows: kernels/stages/routing.py."""
        n = MAX_BATCH * e.n_used
        sizes = {"active": ACTIVE_NBYTES * e.n_experts, "ids": 8 * n, "weights": 4 * n,
                 "rows": 8 * n, "row_weights": 4 * n}  # fmt: skip
        plan = np.zeros(len(PLAN), np.int64)
        for name, nbytes in sizes.items():
            plan[getattr(PLAN, name) // 8] = self._bytes(nbytes)
        self._memory.append(plan)
        return int(plan.ctypes.data)

    def _bytes(self, nbytes: int) -> int:
        self._memory.append(zeros("a step's buffers", nbytes // 8 + 16, np.int64))
        return int(self._memory[-1].ctypes.data)


def buffers_nbytes(c: ModelConfig, layout: KVLayout, n_threads: int) -> int:
    """Bytes of a model's buffers."""
    strides = _strides(c)
    return MAX_BATCH * sum(strides.values()) + n_threads * _scratch_nbytes(c, strides, layout)


def _strides(c: ModelConfig) -> dict[str, int]:
    """Bytes of a row of each buffer."""
    branch = any(isinstance(stage, PostNorm) for stage in stages_of(c))
    widest = max(c.hidden_dim, c.experts.shared_dim) if c.experts else c.hidden_dim
    hidden = _in_strips(widest)
    # Queries alone where keys are compressed.
    qkv = _in_strips(c.q_dim) if c.latent else _qkv_floats(c)
    dim, attended = padded(c.dim), padded(c.attended_dim) + STRIP_ROWS
    normed = max(dim, padded(c.latent.q_lora_rank)) if c.latent else dim
    joined = padded(2 * c.dim) if c.next_layer else 0
    recurrent = {} if c.recurrent is None else recurrent_buffers.recurrent_strides(c)
    return {
        "x": 4 * dim,
        "normed": 4 * normed,
        "branch": 4 * dim * branch,
        "qkv": 4 * qkv,
        "attended": 4 * attended,
        "gates": 4 * (_in_strips(c.q_dim // c.gate_dim) + STRIP_ROWS) if c.gate_dim else 0,
        "hidden": 4 * hidden,
        "records": max(normed, attended, joined, c.per_layer_dim, recurrent.get("mixed", 0) // 4)
        // BLOCK
        * MOST_RECORD_NBYTES,
        **({"embedded": 4 * dim, "state": 4 * dim, "joined": 4 * joined} if joined else {}),
        **recurrent,
        **(_latent_strides(c, c.latent) if c.latent else {}),
        **(_expert_strides(c.experts, dim, normed) if c.experts else {}),
        **({"far": 4 * padded(_widest_queries(c))} if c.attention_sinks else {}),
        **(_per_layer_strides(c) if c.per_layer_dim else {}),
    }


def has_query_gates(c: ModelConfig) -> bool:
    """Whether gates stand behind q, k and v."""
    stages = stages_of(c)
    return any(isinstance(one, GateAttended) and one.source == "qkv" for one in stages)


def _qkv_floats(c: ModelConfig) -> int:
    """Queries, keys and values of a token in the widest layer, each in strips."""
    n_q = 1 + has_query_gates(c)
    return max(
        n_q * _in_strips(c.q_dim_of(layer)) + 2 * _in_strips(c.kv_dim_of(layer))
        for layer in range(c.n_layers)
    )


def _widest_queries(c: ModelConfig) -> int:
    return max(map(c.q_dim_of, range(c.n_layers)))


def _per_layer_strides(c: ModelConfig) -> dict[str, int]:
    """Bytes of a row of what layers take of a token by themselves."""
    whole = 4 * _in_strips(c.n_layers * c.per_layer_dim)
    return {"rows": whole, "per_layer": whole, "gated": 4 * _in_strips(c.per_layer_dim)}


def _expert_strides(e: ExpertsConfig, dim: int, normed: int) -> dict[str, int]:
    """The same of what experts take and give; of those of _SORTED all that a token needs.

    Rows that are gathered are as far apart as the `normed` ones that they are copies of.
    """
    return {
        "routed": 4 * (_in_strips(e.n_experts) + STRIP_ROWS),
        "shared": 4 * dim,
        "gathered": e.n_used * normed // BLOCK * MOST_RECORD_NBYTES,
        "gathered_floats": e.n_used * 4 * normed,
        "expert_hidden": e.n_used * 4 * _in_strips(e.hidden_dim),
    }


def _latent_strides(c: ModelConfig, m: LatentConfig) -> dict[str, int]:
    """The same of compressed keys and values, of what they are made of and what is made of them."""
    return {
        "q_a": 4 * _in_strips(m.q_lora_rank),
        "q": 4 * _in_strips(c.n_heads * m.qk_dim),
        "kv": 4 * _in_strips(m.key_dim),
        "latents": 4 * padded(c.n_heads * m.kv_lora_rank),
    }


def _scratch_nbytes(c: ModelConfig, strides: dict[str, int], layout: KVLayout) -> int:
    """Bytes of a thread's own memory: a normed row, its records, and room to work."""
    work = attention_nbytes(layout)
    if c.attention_sinks:
        work += attention.partial_nbytes(layout.value_dim, MAX_GROUP)
    work = max(work, 2 * MAX_BATCH * 4 * STRIP_ROWS)
    if c.latent is not None:
        m = c.latent
        for n_inputs, n_outputs in ((m.nope_dim, m.kv_lora_rank), (m.kv_lora_rank, m.value_dim)):
            work = max(work, heads_work_nbytes(n_inputs, n_outputs))
    if c.recurrent is not None:
        work = max(work, recurrent_buffers.recurrent_work_nbytes(c))
    return strides["normed"] + strides["records"] + work


def attention_nbytes(layout: KVLayout) -> int:
    """Bytes of a thread's own memory that attention takes, but for what sinks give."""
    return 4 * attention.scratch_floats(max(layout.value_dim, padded(layout.head_dim)))


def _in_strips(n_rows: int) -> int:
    return -(-n_rows // STRIP_ROWS) * STRIP_ROWS
