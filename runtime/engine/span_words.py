"""A step's spans as recurrent layers read them (record.SPAN)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from halfbyte.engine.recurrent_state import RecurrentState
from halfbyte.engine.sequence import Sequence
from halfbyte.kernels.stages.record import SPAN, SPAN_NBYTES

Rows = tuple[Sequence, int, int]  # a sequence, its rows of the step, how many of them are guesses


class SpanWords:
    """Memory for the spans of a step, `most` of them at most."""

    def __init__(self, most: int) -> None:
        self._words = np.zeros((most, SPAN_NBYTES // 8), np.int64)

    def fill(self, spans: Iterable[Rows]) -> dict[str, int]:
        """Write a step's, whose memory is reserved; the words of record.STEP."""
        row = n_spans = 0
        for n_spans, (sequence, n_rows, n_guessed) in enumerate(spans, 1):
            (state,) = (s for s in sequence.states if isinstance(s, RecurrentState))
            values = {"row": row, "n_rows": n_rows, "n_certain": n_rows - n_guessed,
                      **_addresses(state)}  # fmt: skip
            for name, value in values.items():
                self._words[n_spans - 1, getattr(SPAN, name) // 8] = value
            row += n_rows
        return {"spans": int(self._words.ctypes.data), "n_spans": n_spans}


def _addresses(state: RecurrentState) -> dict[str, int]:
    blocks = {"state": state.block, "next": state.ahead.block, "kept": state.journal,
              "journal": state.ahead.journal}  # fmt: skip
    found = {name: 0 if block is None else block.address for name, block in blocks.items()}
    return {**found, "n_kept": state.n_kept}
