"""The records of attention: rotary embedding with the append to the cache, and attention itself."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from halfbyte.engine.buffers import Buffers, attention_nbytes
from halfbyte.engine.model_kernels import attention_kernels
from halfbyte.engine.rotation import rotation_words
from halfbyte.engine.stage_kernels import kernel_words
from halfbyte.engine.stage_words import Words, float_word, n_strips, stage_words
from halfbyte.engine.weights import ModelWeights
from halfbyte.families.config import ModelConfig
from halfbyte.families.stages import (
    FUSED_QKV,
    HEAD_NORMS,
    QKV,
    SINKS,
    Attend,
    GateAttended,
    Rope,
    Stage,
)
from halfbyte.kernels.layouts.kv_pages import KVLayout
from halfbyte.kernels.stages import attention, record

# Where an ATTENTION record has the addresses of what rotary embedding takes beside q, k and v.
_WORDS = {
    **dict(zip([(name, "bias") for name in QKV], ("q_bias", "k_bias", "v_bias"), strict=True)),
    **dict(zip([(name, "weight") for name in HEAD_NORMS], ("q_norm", "k_norm"), strict=True)),
}


class AttentionRecords:
    """Writes them, layer after layer; `tables` keeps what they point at."""

    def __init__(
        self, c: ModelConfig, w: ModelWeights, layout: KVLayout, b: Buffers,
        tables: list[NDArray[Any]],
    ) -> None:  # fmt: skip
        self._config, self._weights, self._layout, self._buffers = c, w, layout, b
        self._tables = tables
        self._words: dict[str, int] = {}  # of the layer's attention

    def take(self, stage: Stage, words: dict[str, int]) -> None:
        """A layer's attention is that of other keys, of which these are the words."""
        self._words = {**words, **self._common(stage)}

    def rope(self, stage: Rope) -> Words:
        """Rotary embedding, and the append to the cache."""
        c, qkv, attended = self._config, self._buffers["qkv"], self._buffers["attended"]
        i = stage.layer
        (k_at, v_at), (layer_at, layout) = self.qkv_at(stage), self._layout.place(c.kv_slot(i))
        group, head_dim = c.group_of(i), c.head_dim_of(i)
        self._words = {
            "qkv": qkv.address, "qkv_stride": qkv.stride, "k_at": k_at, "v_at": v_at,
            "copies_keys": int(stage.values_are_keys), "v_norm": self._ones(stage),
            "eps": float_word(c.norm_eps), "n_kv_heads": c.kv_heads_of(i), "group": group,
            "head_dim": head_dim,
            "layer_at": layer_at, "head_nbytes": layout.head_nbytes,
            "out": attended.address, "out_stride": attended.stride,
            "out_nbytes": 4 * group * head_dim, **self._common(stage),
            **self._words_of(stage), **kernel_words(stage, c),
        }  # fmt: skip
        return stage_words(record.ATTENTION, record.ROPE, **self._words)

    def _ones(self, stage: Rope) -> int:
        """The weights of a norm of values, which has none; 0: there is no norm."""
        if not stage.value_norms:
            return 0
        self._tables.append(np.ones(self._config.head_dim_of(stage.layer), np.float32))
        return int(self._tables[-1].ctypes.data)

    def _common(self, stage: Stage) -> dict[str, int]:
        """What attention takes of a layer, whatever its keys are."""
        c = self._config
        slot = c.kv_slot(stage.layer)
        _, layout = self._layout.place(slot)
        kernels = attention_kernels(c, layout, stage.layer)
        # All heads' together are as much in every layer.
        group = c.group if c.latent else c.n_heads // c.kv_heads_of(stage.layer)
        return {
            "partial_nbytes": attention.partial_nbytes(self._layout.value_dim, group),
            "window": c.window(stage.layer) or attention.NO_WINDOW,
            **self._first(stage),
            "table_at": 8 * self._layout.block_of(slot),
            **{name: kernel.address for name, kernel in kernels.items()},
            **rotation_words(c, stage.layer),
        }  # fmt: skip

    def _first(self, stage: Stage) -> dict[str, int]:
        """What it takes where first positions are seen beside a window."""
        c = self._config
        if not (n_first := c.sinks_of(stage.layer)):
            return {}
        far = self._buffers["far"]
        return {
            "n_first": n_first, "n_exact": c.n_exact, "far": far.address, "far_stride": far.stride,
            "given_at": attention_nbytes(self._layout),
        }  # fmt: skip

    def _words_of(self, stage: Rope) -> dict[str, int]:
        """Where biases and norms lie; a fused bias has those of q, k and v in turn."""
        c, vectors = self._config, self._weights.vectors
        if stage.biases and stage.is_fused:
            at = vectors[stage.tensor(FUSED_QKV, "bias")]
            k_at, v_at = at + 4 * c.q_dim, at + 4 * (c.q_dim + c.kv_dim)
            return {"q_bias": at, "k_bias": k_at, "v_bias": v_at}
        return {_WORDS[name, kind]: vectors[stage.tensor(name, kind)]
                for name, kind in stage.tensors}  # fmt: skip

    def qkv_at(self, stage: Stage) -> tuple[int, int]:
        """Where keys and values begin in a row, in bytes: each matrix fills strips of its own."""
        names = (stage.tensor(name) for name in QKV[:2])
        made = (self._weights.matrices.get(name) for name in names)
        q, k = (4 * 32 * n_strips(matrix) if matrix else 0 for matrix in made)
        return q, q + k

    def gates_at(self, stage: GateAttended) -> int:
        """Where gates begin in a row: behind values, if they are not by themselves."""
        if stage.source != "qkv":
            return 0
        values = self._weights.matrices[stage.tensor(QKV[2])]
        return self.qkv_at(stage)[1] + 4 * 32 * n_strips(values)

    def attend(self, stage: Attend) -> list[Words]:
        """Two ways, of which a step takes one: see kernels/stages/attend.py."""
        ways = (record.ATTEND, record.ATTEND_PAGES, record.MERGE_PAGES)
        if stage.sinks:
            self._words["sinks"] = self._weights.vectors[stage.tensor(SINKS)]
        return [stage_words(record.ATTENTION, op, **self._words) for op in ways]
