"""Hidden states and attention weights of answers, as transformers' `generate` divides them.

They are traced once the answers are there: the same bits as those that made them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halfbyte.hf.answer_plan import Answer
from halfbyte.hf.generation import Batch
from halfbyte.lazy_dataclass import dataclass
from halfbyte.model import Model

F32 = NDArray[np.float32]
ByStep = tuple[tuple[Any, ...], ...]


@dataclass(frozen=True, slots=True)
class Insides:
    """Of each token, of each layer; see GenerateDecoderOnlyOutput."""

    hidden_states: ByStep | None = None
    attentions: ByStep | None = None


def insides(
    model: Model,
    batch: Batch,
    answers: Sequence[Answer],
    has_states: bool,
    has_attentions: bool,
    adapter: Any = None,
) -> Insides:
    """Those of rows that went through an adapter, or whatever it is that `complete` takes."""
    if not (has_states or has_attentions):
        return Insides()
    traces = [
        model.trace(
            [*answer.prompt, *answer.tokens[:-1]], attentions=has_attentions, adapter=adapter
        )
        for answer in answers
    ]
    n_padding = [batch.n_given - len(answer.prompt) for answer in answers]
    n_steps = max(len(answer.tokens) for answer in answers)
    states = weights = None
    if has_states:
        padded = [_padded(t.hidden_states, n, (1,)) for t, n in zip(traces, n_padding, strict=True)]
        states = _by_step(batch, padded, n_steps, _states_at)
    if has_attentions:
        padded = [
            _padded(trace.attentions, n, (2, 3))
            for trace, n in zip(traces, n_padding, strict=True)
            if trace.attentions is not None
        ]
        weights = _by_step(batch, padded, n_steps, _weights_at)
    return Insides(states, weights)


def _padded(array: F32, n: int, axes: Sequence[int]) -> F32:
    """With n zeros before what there is along some axes."""
    return np.pad(array, [(n, 0) if axis in axes else (0, 0) for axis in range(array.ndim)])


def _states_at(array: F32, begin: int, end: int) -> F32:
    return array[:, begin:end]


def _weights_at(array: F32, begin: int, end: int) -> F32:
    return array[:, :, begin:end, :end]


def _by_step(batch: Batch, rows: Sequence[F32], n_steps: int, at: Any) -> ByStep:
    """(layers, ...) of each row as (rows, ...) of each layer of each step; zeros behind its end."""
    made = []
    n = batch.n_given
    for begin, end in ((0, n), *((n + i, n + i + 1) for i in range(n_steps - 1))):
        parts = [at(row, begin, end) for row in rows]
        shape = next(at(row, begin, end).shape for row in rows if row.shape[-2] >= end)
        filled = [p if p.shape == shape else np.zeros(shape, np.float32) for p in parts]
        layers = np.stack(filled, axis=1)
        made.append(tuple(batch.give_back(np.ascontiguousarray(layer)) for layer in layers))
    return tuple(made)
