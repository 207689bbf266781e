"""The forward pass as Python sees it: batches of tokens in, logits out.

Owns the weights' tables, the buffers and the worker pool. One step runs at a time; callers from
any thread are queued by a lock. A step takes rows of several sequences at once, and what a row
gets does not depend on the others.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Sequence as Seq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from halfbyte.engine.kv_cache import Sequence
from halfbyte.engine.weights import Matrix, ModelWeights, layer_names, vector_names
from halfbyte.errors import EngineError
from halfbyte.families.config import ModelConfig
from halfbyte.kernels import step
from halfbyte.kernels.compiler.jit import Kernel
from halfbyte.kernels.layouts.activations import BLOCK, RECORD_NBYTES, padded
from halfbyte.kernels.layouts.kv_pages import PAGE, KVLayout
from halfbyte.kernels.layouts.lookup import lookup_kernel
from halfbyte.kernels.layouts.packing import pack_kernel
from halfbyte.kernels.layouts.panels import n_panels
from halfbyte.kernels.pool import Pool, run_job, serve
from halfbyte.kernels.products.matmul import (
    VECTORS,
    WAYS,
    many_tokens,
    matmul_kernel,
    tile_tokens,
    ways,
)
from halfbyte.kernels.stages import attention
from halfbyte.kernels.stages.rope import rope_append_kernel, rope_table

MAX_BATCH = 256  # rows of a step: the activations of a 7B model's layer then fit the L2 cache
# A token's stages last microseconds, so that a chunk's ticket counts; a prompt's last milliseconds,
# so that a thread that waits for the last chunk counts.
_CHUNKS_PER_THREAD, _PROMPT_CHUNKS_PER_THREAD = 8, 64
_PROMPT_TOKENS = 16
_MIN_SPLIT_PAGES = 3  # below, another stage costs more than an uneven share of the heads


@dataclass(frozen=True, slots=True)
class Span:
    """New tokens of one sequence; logits are wanted for the last `n_out` of them."""

    sequence: Sequence
    tokens: Seq[int]
    n_out: int


def kernels_for(config: ModelConfig, kv_type: str, formats: set[str], embd: str) -> list[Kernel]:
    """Every kernel that a model with these weight formats uses."""
    group, layout = config.n_heads // config.n_kv_heads, kv_layout(config, kv_type)
    head = (kv_type, config.head_dim, layout.value_dim, group)
    window = config.sliding_window
    return [
        serve,
        run_job,
        step.step,
        attention.attention_kernel(*head, window),
        attention.pages_kernel(*head, window),
        attention.merge_kernel(*head[1:], window),
        rope_append_kernel(*head),
        lookup_kernel(embd),
        *(pack_kernel(name) for name in sorted(formats)),
        *(matmul_kernel(name, way) for name in sorted(formats) for way in ways(name)),
    ]


def kv_layout(config: ModelConfig, kv_type: str) -> KVLayout:
    """The cache layout of a model."""
    return KVLayout(config.n_layers, config.n_kv_heads, config.head_dim, kv_type)


class Engine:
    """Runs steps of one model. `n_ctx` bounds a sequence's length."""

    def __init__(
        self, config: ModelConfig, weights: ModelWeights, pool: Pool, kv_type: str, n_ctx: int
    ) -> None:
        self.config, self.weights, self.pool, self.n_ctx = config, weights, pool, n_ctx
        self.layout = kv_layout(config, kv_type)
        self._group = config.n_heads // config.n_kv_heads
        self._query_block = attention.query_block(self._group)
        self.nbytes_per_token = weights.nbytes_per_token
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._closed = False
        self._rope = np.zeros((0, config.head_dim), np.float32)
        self._partials = np.zeros(0, np.uint8)
        self._frequencies = config.rope.frequencies(config.head_dim)
        if weights.rope_divisors is not None:
            self._frequencies /= weights.rope_divisors
        self._build_model_table()
        self._build_buffers()
        # A model that is dropped, not closed; a late worker may still look at these.
        weakref.finalize(self, pool.stop, self._model_record, self._layers, self._out_rows)

    def new_sequence(self) -> Sequence:
        """An empty sequence."""
        return Sequence(self.layout)

    def forward(self, spans: Seq[Span]) -> NDArray[np.float32]:
        """Append each span's tokens to its sequence.

        Args:
            spans: at most MAX_BATCH tokens in all, each sequence at most once, within n_ctx.

        Returns:
            float32 (rows asked for, vocab_size), in the order of the spans.

        Raises:
            EngineError: the model is closed, the process was forked, or memory ran out.
        """
        with self._lock:
            self._check_usable()
            for span in spans:
                span.sequence.reserve(span.sequence.n_past + len(span.tokens))
            n_out = self._fill(spans)
            logits = np.empty((n_out, self._logits_width), np.float32)
            self._args["logits"] = logits.ctypes.data
            self.pool.run(step.step, self._args_record.view(np.int64))
            for span in spans:
                span.sequence.n_past += len(span.tokens)
            return logits[:, : self.config.vocab_size]

    def close(self) -> None:
        """Stop the workers and free the memory, after the step that may be running."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self.pool.close()
            del self.weights, self._buffers

    def _check_usable(self) -> None:
        if self._closed:
            raise EngineError("the model is closed", hint="load it again")
        if os.getpid() != self._pid:
            raise EngineError(
                "the model was loaded before this process was forked",
                hint="load it in the child process, or start it with multiprocessing's 'spawn'",
            )

    def _fill(self, spans: Seq[Span]) -> int:
        """Write a step's rows, query blocks and arguments; returns the number of logit rows."""
        n_tokens = n_out = 0
        blocks: list[tuple[int, int, int, int]] = []
        for span in spans:
            n, past, pages = len(span.tokens), span.sequence.n_past, span.sequence.page_addresses
            rows = slice(n_tokens, n_tokens + n)
            self._tokens[rows] = span.tokens
            self._positions[rows] = range(past, past + n)
            self._pages[rows] = pages
            self._out_rows[n_out : n_out + span.n_out] = range(
                n_tokens + n - span.n_out, n_tokens + n
            )
            for i in range(0, n, self._query_block):
                blocks.append((n_tokens + i, min(self._query_block, n - i), past + i, pages))
            n_tokens, n_out = n_tokens + n, n_out + span.n_out
        blocks.reverse()  # the longest first: later blocks see more keys
        self._blocks[: len(blocks)] = blocks
        self._grow_rope(max(span.sequence.n_past + len(span.tokens) for span in spans))
        args = self._args
        args["n_tokens"], args["n_blocks"], args["n_out"] = n_tokens, len(blocks), n_out
        args["max_chunks"] = self.max_chunks(n_tokens)
        self._split(blocks)
        return n_out

    def _split(self, blocks: list[tuple[int, int, int, int]]) -> None:
        """Deal a single token's pages to the threads where its KV heads are too few to share."""
        args, (_, n_queries, position, _) = self._args, blocks[0]
        args["n_splits"] = 1
        if len(blocks) > 1 or n_queries > 1:
            return
        args["n_splits"], args["first_page"] = self.page_splits(position)
        if args["n_splits"] > 1:
            nbytes = (position // PAGE + 1) * self.config.n_kv_heads * self._model["partial_nbytes"]
            if self._partials.nbytes < nbytes:
                self._partials = np.zeros(2 * int(nbytes), np.uint8)
            args["partials"] = self._partials.ctypes.data

    def max_chunks(self, n_tokens: int) -> int:
        """Into how many chunks a matrix product is dealt at most."""
        per_thread = _CHUNKS_PER_THREAD if n_tokens < _PROMPT_TOKENS else _PROMPT_CHUNKS_PER_THREAD
        return per_thread * self.pool.n_threads

    def page_splits(self, position: int) -> tuple[int, int]:
        """In how many parts a single token's pages are dealt out, and the first page."""
        n_threads, n_kv_heads = self.pool.n_threads, self.config.n_kv_heads
        first = attention.first_page(position, self.config.sliding_window)
        n_pages = position // PAGE + 1 - first
        if n_threads == 1 or n_pages < _MIN_SPLIT_PAGES:
            return 1, first
        return min(n_pages, -(-_CHUNKS_PER_THREAD * n_threads // n_kv_heads)), first

    def _grow_rope(self, n_positions: int) -> None:
        have = len(self._rope)
        if n_positions <= have:
            return
        # Page by page, whatever the step asks for: equal calls give equal bits.
        want = -(-max(n_positions, min(2 * have, self.n_ctx)) // PAGE) * PAGE
        pages = [rope_table(i, i + PAGE, self._frequencies) for i in range(have, want, PAGE)]
        self._rope = np.concatenate([self._rope, *pages])
        self._model["rope_table"] = self._rope.ctypes.data

    def _build_model_table(self) -> None:
        c, w, layout = self.config, self.weights, self.layout
        linear = np.dtype([(name, np.int64) for name in step.LINEAR])
        layer = np.dtype([*((name, np.int64) for name in step.VECTORS), ("matrices", linear, (7,))])
        self._layers = np.zeros(c.n_layers, layer)
        for i, row in enumerate(self._layers):
            for name, tensor in zip(step.VECTORS, vector_names(i), strict=True):
                row[name] = w.vectors.get(tensor, 0)
            for j, name in enumerate(layer_names(i)):
                row["matrices"][j] = _linear(w.matrices[name])
        head = (layout.kv_type, c.head_dim, layout.value_dim, self._group)
        embd = w.matrices["token_embd.weight"]
        model = np.dtype([*((name, np.int64) for name in step.MODEL), ("output", linear)])
        self._model_record = np.zeros(1, model)
        self._model = self._model_record[0]
        for name, value in {
            "n_layers": c.n_layers,
            "layers": self._layers.ctypes.data,
            "dim": c.dim,
            "q_dim": c.n_heads * c.head_dim,
            "head_dim": c.head_dim,
            "n_kv_heads": c.n_kv_heads,
            "group": self._group,
            "tile": tile_tokens(VECTORS),
            "norm_eps": int(np.float32(c.norm_eps).view(np.int32)),
            "head_nbytes": layout.head_nbytes,
            "attention": attention.attention_kernel(*head, c.sliding_window).address,
            "attention_pages": attention.pages_kernel(*head, c.sliding_window).address,
            "attention_merge": attention.merge_kernel(*head[1:], c.sliding_window).address,
            "partial_nbytes": attention.partial_nbytes(layout.value_dim, self._group),
            "rope_append": rope_append_kernel(*head).address,
            "embd_lookup": lookup_kernel(embd.format.name).address,
            "embd_w": embd.address,
            "embd_n_panels": n_panels(embd.n_rows),
            "embd_n_units": embd.format.n_units(embd.n_inputs),
            "output_norm": w.vectors["output_norm.weight"],
            "output": _linear(w.output),
        }.items():
            self._model[name] = value

    def _build_buffers(self) -> None:
        c, layout = self.config, self.layout
        q, kv = (32 * _strips(n * c.head_dim) for n in (c.n_heads, c.n_kv_heads))
        dim, hidden = padded(c.dim), padded(c.hidden_dim)
        attended = padded(c.n_heads * c.head_dim) + 32
        n_records = max(dim, attended) // BLOCK * RECORD_NBYTES
        work = max(4 * attention.scratch_floats(layout.value_dim), 2 * MAX_BATCH * 128)
        scratch = 4 * dim + n_records + work
        self._logits_width = 32 * _strips(c.vocab_size)
        self._tokens, self._positions, self._pages, self._out_rows = np.zeros(
            (4, MAX_BATCH), np.int64
        )
        self._blocks = np.zeros((MAX_BATCH, step.BLOCK_WORDS), np.int64)
        sizes = {
            "x": 4 * dim * MAX_BATCH,
            "normed": 4 * dim * MAX_BATCH,
            "records": n_records * MAX_BATCH,
            "qkv": 4 * (q + 2 * kv) * MAX_BATCH + 256,
            "attended": 4 * attended * MAX_BATCH,
            "hidden": 4 * hidden * MAX_BATCH,
            "scratch": scratch * self.pool.n_threads,
        }
        self._buffers = {
            name: np.zeros(nbytes // 8 + 16, np.int64) for name, nbytes in sizes.items()
        }
        self._args_record = np.zeros(1, np.dtype([(name, np.int64) for name in step.ARGS]))
        self._args = self._args_record[0]
        for name, value in {
            "model": self._model_record.ctypes.data,
            "tokens": self._tokens.ctypes.data,
            "positions": self._positions.ctypes.data,
            "pages": self._pages.ctypes.data,
            "blocks": self._blocks.ctypes.data,
            "out_rows": self._out_rows.ctypes.data,
            "logits_stride": 4 * self._logits_width,
            "x_stride": 4 * dim,
            "qkv_stride": 4 * (q + 2 * kv),
            "attended_stride": 4 * attended,
            "hidden_stride": 4 * hidden,
            "scratch_stride": scratch,
            "gate_up_at": 4 * dim + n_records,
            **{name: buffer.ctypes.data for name, buffer in self._buffers.items()},
        }.items():
            self._args[name] = value


def _strips(n_rows: int) -> int:
    return n_panels(n_rows) // 2


def _linear(matrix: Matrix) -> tuple[int, ...]:
    """A matrix as the step reads it (step.LINEAR)."""
    fmt = matrix.format
    have = ways(fmt.name)
    return (
        *(matmul_kernel(fmt.name, way).address if way in have else 0 for way in WAYS),
        matrix.address,
        n_panels(matrix.n_rows),
        fmt.n_units(matrix.n_inputs),
        int(fmt.is_quantized),
        *many_tokens(),
    )
