"""How likely each token of an answer was, from what `generate` gave: compute_transition_scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halfbyte.errors import RequestError
from halfbyte.hf.batch import to_lists
from halfbyte.hf.generation import matrix
from halfbyte.hf.processors.processor_list import normalized

F32 = NDArray[np.float32]


def transition_scores(sequences: Any, scores: Any, beam_indices: Any, *, normalize: bool) -> F32:
    """Scores of the answers' tokens, float32 (rows, longest answer); 0 behind an answer of beams.

    Source: transformers, GenerationMixin.compute_transition_scores.

    Raises:
        RequestError: arrays of other shapes, or no scores.
    """
    ids, rows = matrix("sequences", sequences), _rows(scores)
    n = rows.shape[1]
    beams = np.arange(n)[:, None].repeat(len(rows), 1)
    if beam_indices is not None:
        beams = matrix("beam_indices", beam_indices)
    is_over = beams < 0
    length = int((~is_over).sum(axis=1).max())
    if len(beams) != len(ids) or not 0 < length <= min(len(rows), ids.shape[1]):
        expected = "what one call of generate gave"
        raise RequestError("beam_indices" if beam_indices is not None else "scores",
                           expected=expected, got=beams.shape)  # fmt: skip
    if beams.max() >= n or ids.max() >= rows.shape[2]:
        raise RequestError("beam_indices", expected=f"numbers below {n}", got=int(beams.max()))
    if normalize:
        rows = np.stack([[normalized(row) for row in step] for step in rows])
    steps = np.arange(length)[None]
    out = rows[steps, np.maximum(beams[:, :length], 0), ids[:, ids.shape[1] - length :]]
    out[is_over[:, :length]] = 0
    return out


def _rows(scores: Any) -> F32:
    """(steps, rows, V)."""
    if not isinstance(scores, Sequence) or isinstance(scores, str) or not scores:
        raise RequestError("scores", expected="the scores that generate gave", got=type(scores))
    try:
        rows = np.stack([np.asarray(_plain(step), np.float32) for step in scores])
    except (TypeError, ValueError):
        rows = np.empty(0, np.float32)
    if rows.ndim != 3:
        raise RequestError("scores", expected="arrays of one shape (rows, V)", got=rows.shape)
    return rows


def _plain(step: Any) -> Any:
    return step if isinstance(step, np.ndarray) else to_lists(step)
