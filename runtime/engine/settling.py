"""States of recurrent layers as blocks alone, without a journal behind them."""

from __future__ import annotations

from collections.abc import Sequence as Seq

from halfbyte.engine.buffers import MAX_BATCH
from halfbyte.engine.engine import Engine, Span
from halfbyte.engine.recurrent_state import RecurrentState
from halfbyte.engine.sequence import Sequence, State


def settle(engine: Engine, sequences: Seq[Sequence]) -> None:
    """Have guesses that were right in their sequences' blocks, as the next step would have it.

    A sequence that has none, and any of a model without recurrent layers, stays as it is.

    Raises:
        EngineError: the model is closed, or there is no memory.
    """
    left = [one for one in sequences if any(map(_is_ahead, one.states))]
    for begin in range(0, len(left), MAX_BATCH):
        spans = [Span(one, (), 0) for one in left[begin : begin + MAX_BATCH]]
        for _ in engine.in_parts(spans, [engine.program.recurrent]):
            pass


def _is_ahead(state: State) -> bool:
    """Whether there are guesses that a block does not have yet."""
    return isinstance(state, RecurrentState) and state.n_kept > 0
