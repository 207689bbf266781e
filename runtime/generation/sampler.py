"""From logits to the next token.

The order, which is part of what a parameter means:

    logits -> repetition penalty -> presence and frequency penalties -> temperature
           -> top-k -> top-p -> min-p -> draw

Each step is a small pure function. Each filter works on what the one before it left and keeps at
least one token; top-p counts shares of what top-k left. Where several tokens are equally
likely, the lowest ids are kept. Temperature does not change the order of tokens, so the code
takes the top k first and computes exponentials of k numbers instead of the whole vocabulary.

What else a caller may ask of it, and other orders, are a chain of samplers (sampling/), which takes
the place of this one: nothing of it costs anything where it is not asked for.

Filters name the kept tokens by ascending indices; that fixed order, float64 sums and a PCG64
generator of its own make a draw depend on nothing but logits, parameters and seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from halfbyte.errors import EngineError, RequestError
from halfbyte.generation.params import SamplingParams
from halfbyte.kernels.sampling.running_sums import index_passing

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
R = TypeVar("R", F32, F64)
_N_ROWS = 64  # in which a vocabulary is looked at, for the largest numbers
Left = Callable[[F32], tuple[I64, F32]]  # of a row: the ids that may come, and their logits


class Sampler:
    """Chooses the tokens of one sequence. Not for several sequences: it remembers what was said.

    Args:
        params: what to do.
        vocab_size: length of the logits.
        prompt_ids: the prompt, for the repetition penalty.

    Attributes:
        drawn_from: the last draw's tokens, ascending ids or None for all, and numbers in the ratios
            of their probabilities; None where the most likely token is taken.

    Raises:
        RequestError: a stop token outside the vocabulary.
    """

    def __init__(self, params: SamplingParams, vocab_size: int, prompt_ids: Sequence[int]) -> None:
        self.params = params
        for i in params.stop_tokens:
            if i >= vocab_size:
                raise RequestError("stop_tokens", expected=f"ids below {vocab_size}", got=i)
        self._rng = None if params.is_greedy else np.random.Generator(np.random.PCG64(params.seed))
        self.drawn_from: tuple[I64 | None, F64] | None = None
        self._history: History | None = None
        if params.has_penalties:
            self._history = History(vocab_size, prompt_ids)

    @property
    def needs_no_mask(self) -> bool:
        """Whether a draw counts if it is one of those that a mask allows, and else is made anew."""
        params = self.params
        has_filters = (params.top_k, params.top_p, params.min_p) != (0, 1.0, 0.0)
        return type(self) is Sampler and (params.is_greedy or not has_filters)

    def sample(self, logits: F32) -> int:
        """The next token; `logits` (V,) is only read. Does not count it: see `accept`.

        Raises:
            EngineError: the logits hold NaN or +inf, or nothing but -inf.
        """
        return self.choose(self.penalized(logits))

    @property
    def takes_parts(self) -> bool:
        """Whether `sample_left` may be asked: others may look at more than the logits."""
        return type(self) is Sampler and self._rng is not None

    def sample_left(self, logits: F32, left: Left) -> int:
        """The next token among those that are left of the logits: their ids, and what they have.

        It is what `sample` gives where the logits of all others are -inf, for less.
        """
        ids, kept = left(self.penalized(logits))
        at = self.choose(kept)
        if self.drawn_from is not None:
            own, probs = self.drawn_from
            self.drawn_from = ids if own is None else ids[own], probs
        return int(ids[at])

    def look_at(self, logits: F32, left: Left) -> None:
        """Have `drawn_from` be what is left of these logits, where a draw was made of all."""
        if self._rng is not None:
            ids, kept = left(self.penalized(logits))
            own, probs = self._shares(kept)
            self.drawn_from = ids if own is None else ids[own], probs

    def penalized(self, logits: F32) -> F32:
        """Logits less the penalties for what was said; the same array where there are none."""
        return logits if self._history is None else self._history.penalize(logits, self.params)

    def choose(self, logits: F32 | F64) -> int:
        """The index of one of these logits or log-probabilities; penalties are left out.

        Raises:
            EngineError: as `sample`.
        """
        best = likeliest(logits)
        if self._rng is None:
            return best
        ids, probs = self.drawn_from = self._shares(logits)
        i = draw(probs, self._rng.random())
        return i if ids is None else int(ids[i])

    def _shares(self, logits: F32 | F64) -> tuple[I64 | None, F64]:
        """What is drawn from: ascending indices, None for all, and their probabilities' ratios."""
        params, ids = self.params, None
        if 0 < params.top_k < len(logits):
            ids = top_k_indices(logits, params.top_k)
            logits = logits[ids]
        probs = softmax(logits, params.temperature)
        for keep, p in ((top_p_indices, params.top_p), (min_p_indices, params.min_p)):
            kept = keep(probs, p)
            if kept is not None:
                probs = probs[kept]
                ids = kept if ids is None else ids[kept]
        return ids, probs

    def accept(self, token_id: int) -> None:
        """Count a token as generated, whether `sample` chose it or the caller did."""
        if self._history is not None:
            self._history.accept(token_id)

    def rewind(self, n: int) -> None:
        """Forget the last n tokens counted; random numbers that were drawn stay drawn."""
        if self._history is not None:
            self._history = self._history.without_last(n)


class History:
    """Which tokens were seen, and how often generated: what the penalties look at."""

    def __init__(self, vocab_size: int, prompt_ids: Sequence[int]) -> None:
        self._prompt_ids = prompt_ids
        self._accepted: list[int] = []
        self._counts = np.zeros(vocab_size, np.int32)
        self._is_seen = np.zeros(vocab_size, np.bool_)
        self._is_seen[np.asarray(prompt_ids, np.int64)] = True
        self._seen = list(np.flatnonzero(self._is_seen))
        self._generated: list[int] = []

    @property
    def seen(self) -> I64:
        """The tokens of prompt and answer, each once."""
        return np.array(self._seen, np.int64)

    @property
    def generated(self) -> tuple[I64, NDArray[np.int32]]:
        """The answer's tokens, each once, and how often each came."""
        ids = np.array(self._generated, np.int64)
        return ids, self._counts[ids]

    def accept(self, token_id: int) -> None:
        """Count a token of the answer."""
        self._accepted.append(token_id)
        if not self._is_seen[token_id]:
            self._is_seen[token_id] = True
            self._seen.append(np.int64(token_id))
        if self._counts[token_id] == 0:
            self._generated.append(token_id)
        self._counts[token_id] += 1

    def without_last(self, n: int) -> History:
        """The same before the last n tokens of the answer came."""
        before = History(len(self._counts), self._prompt_ids)
        for token in self._accepted[: len(self._accepted) - n]:
            before.accept(token)
        return before

    def penalize(self, logits: F32, params: SamplingParams) -> F32:
        """Logits less the penalties."""
        out = logits
        if params.repetition_penalty != 1.0 and self._seen:
            out = penalize_repetition(out, self.seen, params.repetition_penalty)
        if self._generated:
            ids, counts = self.generated
            presence, frequency = params.presence_penalty, params.frequency_penalty
            out = penalize_counts(out, ids, counts, presence, frequency)
        return out


def penalize_repetition(logits: R, ids: I64, penalty: float) -> R:
    """A copy in which positive logits of `ids` are divided by `penalty`, negative multiplied.

    Source: Keskar et al., "CTRL" (2019), section 4.1, with the sign rule of transformers'
    RepetitionPenaltyLogitsProcessor.
    """
    out: R = logits.copy()
    x = out[ids]
    out[ids] = np.where(x < 0, x * penalty, x / penalty)
    return out


def penalize_counts(
    logits: R, ids: I64, counts: NDArray[np.int32], presence: float, frequency: float
) -> R:
    """A copy less `presence + counts * frequency` at `ids`, each of them generated at least once.

    Source: the OpenAI API reference, presence_penalty and frequency_penalty.
    """
    out: R = logits.copy()
    out[ids] -= (presence + counts * frequency).astype(np.float32)
    return out


def likeliest(logits: F32 | F64) -> int:
    """The index of the largest, the lowest on ties; EngineError where it is not finite."""
    # One look suffices: argmax stops at a NaN, and otherwise finds the largest.
    best = int(logits.argmax())
    if logits[best] == -math.inf:
        raise EngineError(
            "no token may come: all of them are forbidden",
            hint="leave one to biases, bans and processors of logits",
        )
    if not math.isfinite(logits[best]):
        raise EngineError(f"the model's logits are not finite: token {best}: {logits[best]}")
    return best


def softmax(logits: F32 | F64, temperature: float) -> F64:
    """Probabilities of `logits / temperature`, for any temperature above 0, however small."""
    x = logits.astype(np.float64)
    x -= x.max()
    # After the subtraction only -inf can come out, whose probability is 0, as it is of what is
    # too small for a float: no error, whatever the caller's np.seterr says.
    with np.errstate(over="ignore", under="ignore"):
        if temperature != 1.0:
            x /= temperature
        np.exp(x, out=x)  # memory that is not in a cache costs more than the arithmetic
        x /= x.sum()
    return x


def log_softmax(logits: F32) -> F64:
    """Logarithms of the probabilities at temperature 1; EngineError as `Sampler.sample`."""
    x = logits.astype(np.float64)
    x -= x[likeliest(logits)]
    with np.errstate(under="ignore"):
        x -= np.log(np.exp(x).sum())
    return x


def top_k_indices(values: F32 | F64, k: int) -> I64:
    """Ascending indices of the k >= 1 largest; of equals at the border, the lowest indices."""
    if k >= len(values):
        return np.arange(len(values), dtype=np.int64)
    m = len(values) // _N_ROWS
    if 2 * k <= m:  # k columns have numbers as large as the k-th largest of their maxima
        maxima = values[: _N_ROWS * m].reshape(_N_ROWS, m).max(axis=0)
        border = np.partition(maxima, m - k)[m - k]
        if border > -np.inf:
            kept = np.flatnonzero(values >= border)
            return kept[_top_k_indices(values[kept], k)]
    return _top_k_indices(values, k)


def _top_k_indices(values: F32 | F64, k: int) -> I64:
    if k >= len(values):
        return np.arange(len(values), dtype=np.int64)
    if values.min() == -np.inf:  # many equals make argpartition twenty times as slow
        finite = np.flatnonzero(values > -np.inf)
        if len(finite) >= k:
            return finite[_top_k_indices(values[finite], k)]
        lowest = np.flatnonzero(values == -np.inf)[: k - len(finite)]
        return np.sort(np.concatenate([finite, lowest]))
    kept = np.argpartition(values, len(values) - k)[-k:]
    limit = values[kept].min()
    # argpartition takes any of several equals at the border: take the lowest instead.
    above = kept[values[kept] > limit]
    equal = np.flatnonzero(values == limit)[: k - len(above)]
    return np.sort(np.concatenate([above, equal]))


def top_p_indices(probs: F64, p: float) -> I64 | None:
    """Ascending indices of the fewest most likely tokens whose sum reaches p; None keeps all.

    Source: Holtzman et al., "The Curious Case of Neural Text Degeneration" (2020), section 3.1.
    """
    if p >= 1.0:
        return None
    # A sort of 49k takes 4.7 ms, and few tokens hold nearly all of the probability: look at
    # the 64 most likely, at 16 times as many where these do not reach p, and so on.
    n = 64
    while True:
        ids = top_k_indices(probs, n)
        ids = ids[np.argsort(-probs[ids], kind="stable")]
        sums = np.cumsum(probs[ids])
        if sums[-1] >= p or n >= len(probs):
            count = int(np.searchsorted(sums, p)) + 1
            return np.sort(ids[:count])
        n *= 16


def min_p_indices(probs: F64, p: float) -> I64 | None:
    """Ascending indices of tokens at least p times as likely as the likeliest; None keeps all.

    Source: Nguyen et al., "Turning Up the Heat: Min-p Sampling" (2024), section 3.
    """
    if p <= 0.0:
        return None
    return np.flatnonzero(probs >= p * probs.max())


def draw(probs: F64, u: float) -> int:
    """The index at which the running sum of `probs` passes the part u of their sum, 0 <= u < 1."""
    # u is at most 1 - 2**-53, so the product rounds to less than the whole sum.
    return index_passing(np.ascontiguousarray(probs), u)
