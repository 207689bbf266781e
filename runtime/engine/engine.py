"""The forward pass as Python sees it: batches of tokens in, logits out.

Owns the weights, the program, the buffers and the worker pool. One step runs at a time: whoever
calls sees to that (generation/scheduler.py). A step takes rows of several sequences at once, and
what a row gets does not depend on the others.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Sequence as Seq

import numpy as np
from numpy.typing import NDArray

from halfbyte.engine.adapted_steps import AdaptedSteps
from halfbyte.engine.adapter_weights import Applied
from halfbyte.engine.buffers import MAX_BATCH, Buffers
from halfbyte.engine.expert_records import expert_share
from halfbyte.engine.kv_cache import kv_layout
from halfbyte.engine.memory import empty, shortage, zeros
from halfbyte.engine.page_dealing import Block, SeenPages, dealing
from halfbyte.engine.page_pool import PagePool
from halfbyte.engine.program import Program
from halfbyte.engine.rotation import Rotation, RotationPages
from halfbyte.engine.sequence import Sequence
from halfbyte.engine.span_words import SpanWords
from halfbyte.engine.stage_words import Words
from halfbyte.engine.state_layout import StateLayout
from halfbyte.engine.weights import ModelWeights
from halfbyte.errors import EngineError
from halfbyte.families.config import ModelConfig
from halfbyte.kernels.layouts.activations import ARITHMETICS
from halfbyte.kernels.pool import Pool
from halfbyte.kernels.stages import attention
from halfbyte.kernels.stages.record import BLOCK, STEP
from halfbyte.kernels.step import step
from halfbyte.lazy_dataclass import dataclass
from halfbyte.process_bound import ProcessBound

# A token's stages last microseconds, so that a chunk's ticket counts; a prompt's last milliseconds,
# so that a thread that waits for the last chunk counts.
_CHUNKS_PER_THREAD, _PROMPT_CHUNKS_PER_THREAD = 8, 64
_PROMPT_TOKENS = 16
F32 = NDArray[np.float32]


class StepAborted(Exception):
    """The step was ended between two stages: its sequences are as before, and it has no logits."""


@dataclass(frozen=True, slots=True)
class Span:
    """New tokens of one sequence; logits are wanted for the last `n_out` of them.

    With `is_hidden`, the last layer's normed states are wanted instead.
    `adapters` are those that its tokens go through, as all that the sequence has seen did.
    Where layers are recurrent, the sequence can be cut back into its last `n_guessed` tokens.
    """

    sequence: Sequence
    tokens: Seq[int]
    n_out: int
    adapters: Seq[Applied] = ()
    is_hidden: bool = False
    n_guessed: int = 0

    def reserve(self) -> None:
        """Have memory for what a step makes of it."""
        self.sequence.reserve(len(self.tokens), self.n_guessed)


class Engine(ProcessBound):
    """Runs steps of one model, for one thread at a time. `n_ctx` bounds a sequence's length."""

    def __init__(
        self,
        config: ModelConfig,
        weights: ModelWeights,
        pool: Pool,
        kv_type: str,
        n_ctx: int,
        *,
        owns_pool: bool = True,
    ) -> None:
        self.config, self.weights, self.pool, self.n_ctx = config, weights, pool, n_ctx
        self.layout, self.arithmetic = kv_layout(config, kv_type, n_ctx), weights.arithmetic
        self.pages = PagePool(self.layout, states=StateLayout.of(config))
        self._seen = SeenPages(config)
        self._partial_nbytes = attention.partial_nbytes(self.layout.value_dim, config.group)
        self.nbytes_per_token, self.expert_share = weights.nbytes_per_token, expert_share(weights)
        self._pid, self._closed = os.getpid(), False
        self.rotation = Rotation(config, weights.rope_factors, n_ctx)
        self._rotated = RotationPages(self.rotation)
        self._partials = np.zeros(0, np.uint8)
        self._buffers = Buffers(config, self.layout, pool.n_threads)
        self.program = Program.of_model(config, weights, self.layout, self._buffers)
        self._adapted = AdaptedSteps(self.program, config, weights, self.layout, self._buffers)
        self._build_args()
        self._owns_pool, self._guests = owns_pool, weakref.WeakSet[Engine]()
        # What a late worker may still be reading, or writing in memory of its own.
        self._memory: list[object] = [self.program, weights, self._buffers, self._out_rows]
        self._guest_memory: list[list[object]] = []  # of those that are gone too
        if owns_pool:  # a model that is dropped, not closed
            weakref.finalize(self, pool.stop, self._memory, self._guest_memory)

    def beside(
        self, config: ModelConfig, weights: ModelWeights, kv_type: str, n_ctx: int
    ) -> Engine:
        """Another model's engine on the threads of this one, which never computes meanwhile.

        It is closed with this one, if not before.
        """
        guest = Engine(config, weights, self.pool, kv_type, n_ctx, owns_pool=False)
        self._guests.add(guest)
        self._guest_memory.append(guest._memory)
        return guest

    def new_sequence(self) -> Sequence:
        """An empty sequence."""
        return Sequence.empty(self.pages)

    def forward(
        self, spans: Seq[Span], abort: Words | None = None, hidden: F32 | None = None
    ) -> F32:
        """Append each span's tokens to its sequence.

        Args:
            spans: at most MAX_BATCH tokens in all, each sequence at most once, within n_ctx.
            abort: a word that another thread may set to 1 meanwhile, int64 (1,): the step then ends
                with the stage that runs.
            hidden: float32 (rows of spans that want hidden states, dim): gets them, in the order of
                the spans. They are what the logits' matrix takes.

        Returns:
            float32 (rows of logits asked for, vocab_size), in the order of the spans.

        Raises:
            EngineError: the model is closed, the process was forked, or memory ran out.
            StepAborted: `abort` was set.
        """
        self._check_process()
        self.check_open()
        abort = self._never if abort is None else abort
        try:
            for span in spans:
                span.reserve()
            program = self.program_of(spans)
            logits = self._fill(spans, program)
            self._set(abort=abort.ctypes.data)
            if hidden is None:
                self.pool.run(step, self._words)
            else:
                self._run_for_hidden(program, hidden, len(logits), abort)
            if abort[0]:
                raise StepAborted
            self._append(spans)
        except MemoryError as error:
            raise shortage("running a step") from error
        return logits[:, : self.config.vocab_size]

    def _run_for_hidden(self, program: Program, hidden: F32, n_logits: int, abort: Words) -> None:
        """All layers for whoever asks, then the logits' matrix for those that want these."""
        n_out = n_logits + len(hidden)
        if n_out == 1:  # a single row is made by its users alone: kernels/stages/rows.py
            self._out_rows[1], n_out = self._out_rows[0], 2
        self._set(n_out=n_out, **program.trunk.words)
        self.pool.run(step, self._words)
        if abort[0]:
            return
        hidden[:] = self.rows("normed", n_logits + len(hidden), self.config.dim)[n_logits:]
        if n_logits:
            self._set(n_out=n_logits, **program.head.words)
            self.pool.run(step, self._words)

    def rows(self, buffer: str, n: int, width: int) -> F32:
        """The first n rows of `x`, `normed` or `qkv`: a view, float32 (n, width)."""
        return self._buffers.rows(buffer, n)[:, :width]

    def program_of(self, spans: Iterable[Span]) -> Program:
        """The stages of a step of these: those of adapters too, where some go through any."""
        is_adapted = any(span.adapters for span in spans)
        return self._adapted.program if is_adapted else self.program

    def in_parts(self, spans: Seq[Span], parts: Iterable[Program]) -> Iterator[F32]:
        """`forward` part by part, for looking at the buffers meanwhile.

        Yields after each part: the logits, which the parts that compute them have filled. They are
        parts of `program_of(spans)`, and should not end where a single token's row would have been
        made (kernels/stages/rows.py).
        """
        self._check_process()
        self.check_open()
        for span in spans:
            span.reserve()
        logits = self._fill(spans, self.program_of(spans))
        self._set(abort=self._never.ctypes.data)
        for part in parts:
            self._set(**part.words)
            self.pool.run(step, self._words)
            yield logits[:, : self.config.vocab_size]
        self._append(spans)

    def repeat(self, spans: Seq[Span], program: Program) -> Callable[[], None]:
        """A call that does some stages of a step again and again, for timing them.

        What they compute goes nowhere: no sequence grows, and the model is to be used by nobody
        else meanwhile.
        """
        self._check_process()
        self.check_open()
        for span in spans:
            span.reserve()
        kept = (self._fill(spans, program), spans, program)  # all that the step looks at
        self._set(abort=self._never.ctypes.data)

        def run(kept: object = kept) -> None:
            self._check_process()
            self.check_open()
            self.pool.run(step, self._words)

        return run

    def _append(self, spans: Seq[Span]) -> None:
        """Count what a step has done."""
        for span in spans:
            span.sequence.append(len(span.tokens))
        if self.pages.states is not None:
            self.pages.states.trim(len(spans))  # as many as the next step lets go

    def close(self) -> None:
        """Stop the workers and free the memory; no step may be running."""
        # An interrupted close is finished by the next one.
        self._closed = True
        (self.pool.close if self._owns_pool else self.pool.wait_for_late_workers)()
        for guest in list(self._guests):
            guest.close()
        for memory in (self._memory, *self._guest_memory):
            memory.clear()
        for name in ("weights", "program", "_adapted", "_buffers"):
            self.__dict__.pop(name, None)

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise EngineError(
                "the model was loaded before this process was forked",
                hint="load it in the child process, or start it with multiprocessing's 'spawn'",
            )

    def check_open(self) -> None:
        """EngineError where the model is closed."""
        if self._closed:
            raise EngineError("the model is closed", hint="load it again")

    def _fill(self, spans: Seq[Span], program: Program) -> NDArray[np.float32]:
        """Write a step's rows, query blocks and arguments; returns the logits to be."""
        n_tokens = 0
        wanted: tuple[list[int], list[int]] = [], []  # rows of logits, of hidden states
        blocks: list[Block] = []
        for span in spans:
            n, past, tables = len(span.tokens), span.sequence.n_past, span.sequence.kv.tables
            rows = slice(n_tokens, n_tokens + n)
            self._tokens[rows] = span.tokens
            self._positions[rows] = range(past, past + n)
            self._pages[rows] = tables
            self._rotated.addresses(self._rope_rows[rows], past)
            wanted[span.is_hidden].extend(range(n_tokens + n - span.n_out, n_tokens + n))
            for i, n_queries in self._seen.blocks(past, n):
                blocks.append((n_tokens + i, n_queries, past + i, *tables))
            n_tokens += n
        if (table := self.weights.table) is not None:
            table.read_into(self._buffers.rows("rows", n_tokens), self._tokens[:n_tokens].tolist())
        n_out = len(wanted[0])
        self._out_rows[: n_out + len(wanted[1])] = wanted[0] + wanted[1]
        blocks.reverse()  # the longest first: later blocks see more keys
        if blocks:
            self._blocks[: len(blocks), :5] = blocks
        logits = empty("logits", (n_out, self._buffers.logits_width), np.float32)
        self._set(n_tokens=n_tokens, n_blocks=len(blocks), n_out=n_out,
                  max_chunks=self._max_chunks(n_tokens), logits=logits.ctypes.data,
                  **program.words)  # fmt: skip
        self._split(blocks)
        if any(span.adapters for span in spans):
            self._set(**self._adapted.words(spans))
        if self._spans is not None:
            parts = ((span.sequence, len(span.tokens), span.n_guessed) for span in spans)
            self._set(**self._spans.fill(parts))
        return logits

    def _split(self, blocks: list[Block]) -> None:
        """Deal pages to the threads where queries have too few KV heads to share."""
        n_heads, n_threads = self.config.n_head_groups, self.pool.n_threads
        dealt = dealing(
            blocks, n_heads, n_threads, self._seen.first_page,
            most_splits=-(-_CHUNKS_PER_THREAD * n_threads // (n_heads * max(len(blocks), 1))),
            partial_nbytes=self._partial_nbytes,
        )  # fmt: skip
        self._set(n_splits=1 if dealt is None else dealt.n_splits)
        if dealt is not None:
            if self._partials.nbytes < dealt.nbytes:
                self._partials = zeros("attention", 2 * dealt.nbytes, np.uint8)
            places = np.array(dealt.places, np.int64)
            self._blocks[: len(blocks), BLOCK.partials // 8] = self._partials.ctypes.data + places

    def _max_chunks(self, n_tokens: int) -> int:
        """Into how many chunks a matrix product is dealt at most."""
        per_thread = _CHUNKS_PER_THREAD if n_tokens < _PROMPT_TOKENS else _PROMPT_CHUNKS_PER_THREAD
        return per_thread * self.pool.n_threads

    def _build_args(self) -> None:
        """The words of a step (record.STEP), and the rows that it is told of."""
        b = self._buffers
        self._words = np.zeros(len(STEP), np.int64)
        self._tokens, self._positions, self._rope_rows, self._out_rows = np.zeros(
            (4, MAX_BATCH), np.int64
        )
        self._pages = np.zeros((MAX_BATCH, 2), np.int64)
        self._blocks = np.zeros((MAX_BATCH, len(BLOCK)), np.int64)
        self._spans = None if self.pages.states is None else SpanWords(MAX_BATCH)
        self._never = np.zeros(1, np.int64)  # for who does not abort
        self._far_row = self.rotation.row(max(self.config.n_exact - 1, 0))
        self._set(
            tokens=self._tokens.ctypes.data,
            positions=self._positions.ctypes.data,
            rope_rows=self._rope_rows.ctypes.data,
            far_rope_row=self._far_row.ctypes.data,
            pages=self._pages.ctypes.data,
            blocks=self._blocks.ctypes.data,
            out_rows=self._out_rows.ctypes.data,
            n_runs=self.pool.n_threads,
            record_nbytes=ARITHMETICS[self.arithmetic],
            logits_stride=4 * b.logits_width,
            scratch_stride=b.scratch.stride,
            own_normed=b.scratch.address,
            own_records=b.scratch.address + b.records_at,
            work=b.scratch.address + b.work_at,
        )

    def _set(self, **words: int) -> None:
        for name, value in words.items():
            self._words[getattr(STEP, name) // 8] = value
