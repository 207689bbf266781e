"""What happens inside of a forward pass: the states between layers, what attention looks at.

A step is run layer by layer, with its own compiled stages, and its buffers are read in between. The
attention weights, which the kernels never have as a whole, are computed from the same rotated
queries and cached keys.
"""

from __future__ import annotations

import math
from collections.abc import Sequence as Seq

import numpy as np

from halfbyte.engine.adapter_weights import Applied
from halfbyte.engine.buffers import MAX_BATCH
from halfbyte.engine.cached_keys import cached_keys
from halfbyte.engine.engine import F32, Engine, Span
from halfbyte.engine.memory import empty, zeros
from halfbyte.engine.program import Program
from halfbyte.kernels.layouts.kv_pages import PAGE
from halfbyte.lazy_dataclass import dataclass


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Trace:
    """A forward pass of T tokens. All arrays are float32.

    Attributes:
        tokens: the ids.
        hidden_states: (n_layers + 1, T, dim): the embedding, then the states after each layer; the
            last ones normed, as the logits' matrix takes them and as transformers has them.
        logits: (T, vocab_size).
        attentions: (n_layers, n_heads, T, T): how much of each position (last axis) a position
            looks at, 0 in layers without attention; None where it was not asked for.
        layer_logits: (n_layers, T, vocab_size): the logits, if the model ended with that layer;
            None where it was not asked for.
    """

    tokens: list[int]
    hidden_states: F32
    logits: F32
    attentions: F32 | None = None
    layer_logits: F32 | None = None

    def __repr__(self) -> str:
        parts = [
            f"{name} {'x'.join(map(str, array.shape))}"
            for name in ("hidden_states", "logits", "attentions", "layer_logits")
            if (array := getattr(self, name)) is not None
        ]
        return f"Trace({len(self.tokens)} tokens: {', '.join(parts)})"


class Tracer:
    """One trace on its way; each `step` takes what a step takes.

    Attributes:
        trace: what there is.
        is_done: whether that is all.

    Raises:
        EngineError: there is no memory.
    """

    def __init__(
        self,
        engine: Engine,
        tokens: Seq[int],
        *,
        attentions: bool,
        layer_logits: bool,
        adapters: Seq[Applied] = (),
    ) -> None:
        c, n = engine.config, len(tokens)
        self._engine, self._adapters = engine, adapters
        self._sequence = engine.new_sequence()
        self.trace = Trace(
            list(tokens),
            empty("hidden states", (c.n_layers + 1, n, c.dim), np.float32),
            empty("logits", (n, c.vocab_size), np.float32),
            zeros("attentions", (c.n_layers, c.n_heads, n, n), np.float32) if attentions else None,
            empty("a layer's logits", (c.n_layers, n, c.vocab_size), np.float32)
            if layer_logits
            else None,
        )

    @property
    def is_done(self) -> bool:
        """Whether all tokens have been seen."""
        return self._sequence.n_past == len(self.trace.tokens)

    def step(self) -> None:
        """Trace the next tokens; for the engine's thread.

        Raises:
            EngineError: the model is closed, or memory ran out.
        """
        engine, out = self._engine, self.trace
        begin = self._sequence.n_past
        at = slice(begin, min(begin + MAX_BATCH, len(out.tokens)))
        n = at.stop - at.start
        spans = [Span(self._sequence, out.tokens[at], n, self._adapters)]
        if n == 1:  # a lone token's rows are made where they are used, and never seen
            spans.append(Span(engine.new_sequence(), out.tokens[at], 1))
        places = self._places(engine.program_of(spans))
        walk = engine.in_parts(spans, [part for *_, part in places])
        for (what, i, _), logits in zip(places, walk, strict=True):
            if what == "x":
                out.hidden_states[i, at] = engine.rows("x", n, engine.config.dim)
            elif what == "queries" and out.attentions is not None:
                n_heads = engine.config.heads_of(i)
                out.attentions[i, :n_heads, at, : at.stop] = self._weights(i, at)
            elif what == "logits" and out.layer_logits is not None:
                out.layer_logits[i, at] = logits[:n]
        out.logits[at] = logits[:n]
        out.hidden_states[-1, at] = engine.rows("normed", n, engine.config.dim)

    def _places(self, program: Program) -> list[tuple[str, int, Program]]:
        """The parts of a step: what is to be looked at behind each, and of which layer."""
        places = [("x", 0, program.first)]
        for i, (before, rest) in enumerate(program.layers):
            places += [("queries", i, before)] if before is not None else []
            places.append(("x", i + 1, rest))
            if self.trace.layer_logits is not None:
                places.append(("logits", i, program.head))
        if self.trace.layer_logits is None:
            places.append(("logits", len(program.layers) - 1, program.head))
        return places

    def _weights(self, layer: int, at: slice) -> F32:
        """softmax(cap(q k / sqrt(head_dim))) of positions `at`: float32 (n_heads, n, at.stop)."""
        c, n = self._engine.config, at.stop - at.start
        q = self._engine.rows("qkv", n, c.q_dim_of(layer))
        q = q.reshape(n, c.kv_heads_of(layer), -1, c.head_dim_of(layer))
        keys, positions = self._keys(layer, at.stop), np.arange(at.start, at.stop)
        scores = np.einsum("nhgd,hpd->hgnp", q, keys, dtype=np.float64)
        is_far, first = positions >= c.n_exact, slice(c.sinks_of(layer))
        if first.stop:
            far = self._engine.rows("far", n, c.q_dim_of(layer)).reshape(q.shape)
            of_first = np.einsum("nhgd,hpd->hgnp", far, keys[:, first], dtype=np.float64)
            scores[..., is_far, first] = of_first[..., is_far, :]
        scores = scores.reshape(-1, n, at.stop) / math.sqrt(c.head_dim_of(layer))
        if c.attn_softcap:
            scores = c.attn_softcap * np.tanh(scores / c.attn_softcap)
        back = positions[:, None] - np.arange(at.stop)
        is_hidden = back >= (c.window(layer) or at.stop)
        if first.stop:
            is_hidden &= is_far[:, None] & (np.arange(at.stop) >= first.stop)
        scores[:, (back < 0) | is_hidden] = -np.inf
        sinks = self._engine.weights.sinks(layer, c.heads_of(layer))
        top = np.maximum(scores.max(-1, keepdims=True), sinks)
        weights = np.exp(scores - top)
        weights /= weights.sum(-1, keepdims=True) + np.exp(sinks - top)
        return weights.astype(np.float32)

    def _keys(self, layer: int, n: int) -> F32:
        """What a layer reads of the first n positions: float32 (n_kv_heads, n, head_dim)."""
        slot, layout = self._engine.config.kv_slot(layer), self._engine.layout
        kv = self._sequence.kv
        pages = (kv.windowed if layout.block_of(slot) else kv.pages)[: -(-n // PAGE)]
        return np.concatenate([cached_keys(page, layout, slot) for page in pages], axis=1)[:, :n]
