"""How far a converted model is from its source: per tensor, and in what it predicts.

The two go through the float forward pass side by side, a layer at a time, so a figure here is
about the weights: nothing else differs. What the engine makes of them, with quantized activations
and its cache, is measured from its own logits with the same `Distance`, and is never mixed with it.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from halfbyte.lazy_dataclass import dataclass
from halfbyte.progress import Progress, silent
from halfbyte.quality.float_model import FloatModel, Ids
from halfbyte.quality.layer_source import F32, LayerSource

F64 = NDArray[np.float64]
_N_ROWS = 128  # rows of logits that are widened to float64 at a time


@dataclass(frozen=True, slots=True)
class Distance:
    """What two models say after each token of the windows `ids` (B, T).

    Attributes:
        kl: KL(reference || other) in nats, float64 (B, T).
        reference_top, other_top: the most likely tokens, int64 (B, T).
        reference_nll, other_nll: minus the log probability of the token that came next, in nats,
            float64 (B, T - 1).
    """

    ids: Ids
    kl: F64
    reference_top: Ids
    other_top: Ids
    reference_nll: F64
    other_nll: F64

    @property
    def mean_kl(self) -> float:
        """Mean KL in nats."""
        return float(self.kl.mean())

    @property
    def p99_kl(self) -> float:
        """Its 99th percentile."""
        return float(np.quantile(self.kl, 0.99))

    @property
    def top1(self) -> float:
        """Share of positions where both find the same token most likely."""
        return float((self.reference_top == self.other_top).mean())

    @property
    def perplexities(self) -> tuple[float, float]:
        """Of the reference and of the other."""
        return float(np.exp(self.reference_nll.mean())), float(np.exp(self.other_nll.mean()))


@dataclass(frozen=True, slots=True)
class Quality:
    """A result beside its source.

    Attributes:
        distance: of what they predict.
        errors: tensor -> sqrt(sum (w - w')^2 / sum w^2).
    """

    distance: Distance
    errors: dict[str, float]


def measure(
    source: LayerSource, result: LayerSource, ids: Ids, *, progress: Progress = silent
) -> Quality:
    """Measure a result against its source on windows of tokens.

    Memory: both models' hidden states (B, T, C), and one layer (or output matrix) of each.

    Args:
        source: the model as it was.
        result: the model as it came out.
        ids: int64 (B, T), T at least 2.
        progress: called with ("measure", layers done, layers in all).

    Raises:
        EngineError: a model's numbers are not finite or too large.
    """
    models = (_Watched(source), _Watched(result))
    reference, other = (FloatModel(watched) for watched in models)
    errors: dict[str, float] = {}

    def collect() -> None:
        for name, w in models[0].seen.items():
            errors[name] = relative_error(w, models[1].seen[name])
        for watched in models:
            watched.seen.clear()

    x, y = reference.embed(ids), other.embed(ids)
    collect()
    n_layers = source.config.n_layers
    for i in range(n_layers):
        reference.layer(i, reference.layer_weights(i), x)
        other.layer(i, other.layer_weights(i), y)
        collect()
        progress("measure", i + 1, n_layers)
    found = distance(ids, reference.logits(x), other.logits(y))
    collect()
    return Quality(found, errors)


def relative_error(w: F32, changed: F32) -> float:
    """sqrt(sum (w - w')^2 / sum w^2)."""
    error, size = (_sum_of_squares(x) for x in (w - changed, w))
    return float(np.sqrt(error / size)) if size else 0.0


def _sum_of_squares(x: F32) -> np.float64:
    with np.errstate(over="ignore"):
        total = np.square(x).sum(dtype=np.float64)
    return total if np.isfinite(total) else np.square(x, dtype=np.float64).sum()


def distance(ids: Ids, reference: Iterable[F32], other: Iterable[F32]) -> Distance:
    """Compare logits (T, vocab), window by window."""
    kl = np.empty(ids.shape)
    top = np.empty((2, *ids.shape), np.int64)
    nll = np.empty((2, *ids.shape))
    for b, (p_logits, q_logits) in enumerate(zip(reference, other, strict=True)):
        for begin in range(0, ids.shape[1], _N_ROWS):
            rows = slice(begin, begin + _N_ROWS)
            p, q = log_softmax(p_logits[rows]), log_softmax(q_logits[rows])
            kl[b, rows] = (np.exp(p) * (p - q)).sum(-1)
            following = np.roll(ids[b], -1)[rows, None]  # the last of a window is dropped below
            for i, logprobs in enumerate((p, q)):
                top[i, b, rows] = logprobs.argmax(-1)
                nll[i, b, rows] = -np.take_along_axis(logprobs, following, -1)[:, 0]
    return Distance(ids, kl, top[0], top[1], nll[0, :, :-1], nll[1, :, :-1])


def log_softmax(logits: F32) -> F64:
    """Natural logarithms of probabilities along the last axis, in float64."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(-1, keepdims=True))
    return shifted


class _Watched:
    """A source that remembers the tensors that were read since `seen` was emptied."""

    def __init__(self, source: LayerSource) -> None:
        self._source, self.config = source, source.config
        self.seen: dict[str, F32] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._source

    def tensor(self, name: str) -> F32:
        self.seen[name] = self._source.tensor(name)
        return self.seen[name]

    def rows(self, name: str, ids: Ids) -> F32:
        return self._source.rows(name, ids)
