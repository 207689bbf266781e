"""A fixed prompt's greedy continuation: what a file says on any machine.

The engine's logits are the same bits for any thread count and instruction set (kernels' numerics
contract), so the tokens are recorded at conversion and compared exactly. Should they part on a
machine whose bits differ all the same, `lead_lost` tells rounding from damage: it is how far the
recorded token's logit lies behind the best, where the two first part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from halfbyte.lazy_dataclass import dataclass
from halfbyte.quality.figures import N_GOLDEN, NO_TOKEN

if TYPE_CHECKING:
    from halfbyte.model import Model

PROMPT = "def fibonacci(n):\n"


@dataclass(frozen=True, slots=True)
class Golden:
    """The continuation's ids, NO_TOKEN behind an early end, and the least lead of one, in logits.

    A token's lead is how far its logit lies above the second best.
    """

    tokens: tuple[int, ...]
    margin: float


def golden_continuation(model: Model) -> Golden:
    """Continue the prompt; cache and threads as the model has them."""
    prompt = model.tokenizer.encode(PROMPT)
    tokens = model.complete(prompt, max_tokens=N_GOLDEN, temperature=0.0).tokens
    best = np.sort(_logits(model, prompt, tokens), -1)[:, -2:]
    margin = float((best[:, 1] - best[:, 0]).min()) if tokens else 0.0
    return Golden((*tokens, *[NO_TOKEN] * (N_GOLDEN - len(tokens))), margin)


def lead_lost(model: Model, recorded: tuple[int, ...], got: tuple[int, ...]) -> float:
    """How far the first recorded token that was not taken lies behind the best, in logits."""
    i = next(i for i, (a, b) in enumerate(zip(recorded, got, strict=True)) if a != b)
    if NO_TOKEN in (recorded[i], got[i]) or not 0 <= recorded[i] < model.config.vocab_size:
        return float("inf")
    logits = _logits(model, model.tokenizer.encode(PROMPT), [*got[:i], recorded[i]])[-1]
    return float(logits.max() - logits[recorded[i]])


def _logits(model: Model, prompt: list[int], tokens: list[int]) -> np.ndarray:
    """The logits that each token was chosen from, (tokens, vocab)."""
    return model.logits([*prompt, *tokens])[len(prompt) - 1 : -1]
