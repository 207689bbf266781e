"""What a model makes of text: minus the log probability of each token that came next."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from halfbyte.progress import Progress, silent
from halfbyte.quality.distance import log_softmax


def token_losses(
    logits: Callable[[list[int]], NDArray[np.float32]],
    windows: NDArray[np.int64],
    progress: Progress = silent,
) -> NDArray[np.float64]:
    """Losses in nats, float64 (B * (T - 1),), as run: activations of 8 bits included.

    Args:
        logits: the model's after each of some tokens, (T, vocab); see Model.logits.
        windows: int64 (B, T), each from an empty context; T at least 2.
        progress: called with ("perplexity", windows done, windows in all).
    """
    losses = []
    for i, window in enumerate(windows):
        progress("perplexity", i, len(windows))
        logprobs = log_softmax(logits(window.tolist())[:-1])
        losses.append(-np.take_along_axis(logprobs, window[1:, None], -1)[:, 0])
    return np.concatenate(losses)
