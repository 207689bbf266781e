"""Seconds that steps of the engine take: what `halfbyte bench` and the benchmarks measure."""

from __future__ import annotations

import time
from collections.abc import Sequence as Seq

import numpy as np

from halfbyte.engine.buffers import MAX_BATCH
from halfbyte.engine.engine import Engine, Span
from halfbyte.engine.sequence import Sequence


def random_tokens(engine: Engine, n: int) -> list[int]:
    """n token ids, the same ones each time."""
    return list(np.random.default_rng(n).integers(0, engine.config.vocab_size, n).tolist())


def prefill_s(
    engine: Engine, tokens: Seq[int], sequence: Sequence | None = None, *, n_out: int = 1
) -> float:
    """Seconds to append tokens in chunks, to a new sequence unless there is one.

    Logits are wanted for the last `n_out` tokens, 0 or 1.
    """
    sequence, n = engine.new_sequence() if sequence is None else sequence, len(tokens)
    begin_s = time.perf_counter()
    for begin in range(0, n, MAX_BATCH):
        end = min(begin + MAX_BATCH, n)
        engine.forward([Span(sequence, tokens[begin:end], n_out if end == n else 0)])
    return time.perf_counter() - begin_s


def decode_s(engine: Engine, n: int, sequences: Seq[Sequence] = ()) -> float:
    """Seconds for n tokens, the most likely ones, of each sequence, or of a new one."""
    sequences = sequences or [engine.new_sequence()]
    tokens = list(range(1, 1 + len(sequences)))
    begin_s = time.perf_counter()
    for _ in range(n):
        spans = [Span(s, [t], 1) for s, t in zip(sequences, tokens, strict=True)]
        tokens = engine.forward(spans).argmax(-1).tolist()
    return time.perf_counter() - begin_s
