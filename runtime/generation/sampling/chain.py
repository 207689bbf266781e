"""A chain of samplers: any of them, in any order.

A request has one only where it asks for something that the plain sampler (sampler.py) does not do.
It draws as that does: by ascending ids, in float64, from a PCG64 generator of its own. Coverings of
a text that was taken back (respelling.py) are chosen as the plain sampler chooses tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from halfbyte.generation import sampler as plain
from halfbyte.generation.params import SamplingParams
from halfbyte.generation.sampler import F32, I64, History, Sampler, draw, likeliest
from halfbyte.generation.sampling import candidate_filters as filters
from halfbyte.generation.sampling import dry, mirostat
from halfbyte.generation.sampling.adaptive_p import Average, preferring
from halfbyte.generation.sampling.infill_sampler import infill_indices
from halfbyte.generation.sampling.remaining import Remaining
from halfbyte.generation.sampling.token_log import TokenLog
from halfbyte.lazy_dataclass import dataclass
from halfbyte.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Learned:
    """What mirostat and adaptive-p know of the tokens so far."""

    mu: float
    average: Average


class ChainSampler(Sampler):
    """Chooses the tokens of one sequence by a chain."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        params: SamplingParams,
        prompt_ids: Sequence[int],
        ends: Collection[int] = (),
    ) -> None:
        super().__init__(params, tokenizer.n_vocab, prompt_ids)
        self._tokenizer, self._ends = tokenizer, frozenset(ends)
        self._vocab_size, self._log = tokenizer.n_vocab, TokenLog(prompt_ids)
        self._breakers = dry.Breakers(tokenizer, params.dry_sequence_breakers)
        average = Average.at(params.adaptive_target or 0.0, params.adaptive_decay)
        self._learned = self._next = Learned(2.0 * params.mirostat_tau, average)
        self._past: list[Learned] = []  # before each token that was accepted
        steps: dict[str, Callable[[Remaining], Remaining]] = {
            "penalties": self._penalize, "dry": self._dry, "top_n_sigma": self._top_n_sigma,
            "top_k": self._top_k, "typical_p": self._typical_p, "temperature": self._temper,
            "top_p": self._top_p, "min_p": self._min_p, "xtc": self._xtc, "infill": self._infill,
            "top_h": self._top_h, "epsilon_cutoff": self._epsilon, "eta_cutoff": self._eta,
        }  # fmt: skip
        self._steps = [steps[name] for name in params.order if name in steps]
        self._is_adaptive = params.adaptive_target is not None and "adaptive_p" in params.order

    def sample(self, logits: F32) -> int:
        """The next token; as Sampler.sample."""
        left = self.candidates(logits)
        if self._rng is None:
            return left.token(likeliest(left.logits))
        final = self.final(left)
        self.drawn_from = final.ids, final.probs
        i = draw(final.probs, self._rng.random())
        self.learn(left, final, i)
        return final.token(i)

    def candidates(self, logits: F32) -> Remaining:
        """What the samplers leave, before mirostat or adaptive-p look at it."""
        likeliest(logits)
        left, self._logits = Remaining(logits), logits
        for step in self._steps:
            left = step(left)
        return left

    def final(self, left: Remaining) -> Remaining:
        """What is drawn from, as mirostat or adaptive-p have it."""
        params, learned = self.params, self._learned
        if params.mirostat == 1:
            return left.kept(mirostat.kept_by_version_1(left.probs, learned.mu, self._vocab_size))
        if params.mirostat:
            return left.kept(mirostat.kept_by_version_2(left.probs, learned.mu))
        if not self._is_adaptive:
            return left
        aim = learned.average.aim(params.adaptive_target or 0.0)
        return left.with_logits(preferring(left.logits, left.probs, aim))

    def learn(self, left: Remaining, final: Remaining, at: int) -> None:
        """The one at this index of `final` was drawn; counts once it is accepted."""
        params, mu, average = self.params, self._learned.mu, self._learned.average
        if params.mirostat:
            prob = float(final.probs[at])
            mu = mirostat.learned(mu, prob, params.mirostat_tau, params.mirostat_eta)
        elif self._is_adaptive:
            average = average.after(float(left.probs[at]), params.adaptive_decay)
        self._next = Learned(mu, average)

    def accept(self, token_id: int) -> None:
        """Count a token as generated."""
        super().accept(token_id)
        self._log.append(token_id)
        self._past.append(self._learned)
        self._learned = self._next

    def rewind(self, n: int) -> None:
        """Forget the last n tokens counted."""
        super().rewind(n)
        self._log.drop(n)
        if n:
            self._learned = self._next = self._past[-n]
            del self._past[-n:]

    def _penalize(self, left: Remaining) -> Remaining:
        params, window = self.params, self.params.penalty_window
        if self._history is None or window == 0:
            return left
        seen, counted = _looked_at(self._history, self._log, window)
        at, _ = left.find(seen)
        logits = plain.penalize_repetition(left.logits, at, params.repetition_penalty)
        ids, counts = counted
        at, is_left = left.find(ids)
        presence, frequency = params.presence_penalty, params.frequency_penalty
        logits = plain.penalize_counts(logits, at, counts[is_left], presence, frequency)
        return left.with_logits(logits)

    def _dry(self, left: Remaining) -> Remaining:
        params = self.params
        if params.dry_multiplier == 0.0 or params.dry_window == 0:
            return left
        allowed, base = params.dry_allowed_length, params.dry_base
        tokens = self._log.last(params.dry_window)
        repeats = dry.longest_repeats(tokens, allowed, base, self._breakers.tails)
        if not repeats:
            return left
        less = dry.penalties(repeats, params.dry_multiplier, base, allowed)
        at, is_left = left.find(np.array(list(repeats), np.int64))
        logits = left.logits.copy()
        logits[at] -= less[is_left]
        return left.with_logits(logits)

    def _top_n_sigma(self, left: Remaining) -> Remaining:
        n = self.params.top_n_sigma
        return left if n == 0.0 else left.with_logits(filters.top_n_sigma(left.logits, n))

    def _top_k(self, left: Remaining) -> Remaining:
        k = self.params.top_k
        return left.kept(plain.top_k_indices(left.logits, k)) if 0 < k < len(left) else left

    def _typical_p(self, left: Remaining) -> Remaining:
        p = self.params.typical_p
        return left if p >= 1.0 else left.kept(filters.typical_p_indices(left.probs, p))

    def _temper(self, left: Remaining) -> Remaining:
        params, temperature = self.params, self.params.temperature
        if params.dynatemp_range and not params.mirostat:
            temperature = filters.dynamic_temperature(
                left.probs, temperature, params.dynatemp_range, params.dynatemp_exponent
            )
        if temperature == 1.0:
            return left
        if temperature <= 0.0:
            best = likeliest(left.logits)
            return left.with_logits(np.where(np.arange(len(left)) == best, left.logits, -np.inf))
        with np.errstate(over="ignore", under="ignore"):
            return left.with_logits((left.logits - left.logits.max()) / temperature)

    def _top_p(self, left: Remaining) -> Remaining:
        p = self.params.top_p
        return left if p >= 1.0 else left.kept(plain.top_p_indices(left.probs, p))

    def _min_p(self, left: Remaining) -> Remaining:
        p = self.params.min_p
        return left if p <= 0.0 else left.kept(plain.min_p_indices(left.probs, p))

    def _top_h(self, left: Remaining) -> Remaining:
        h = self.params.top_h
        return left if h >= 1.0 else left.kept(filters.top_h_indices(left.probs, h))

    def _epsilon(self, left: Remaining) -> Remaining:
        least = self.params.epsilon_cutoff
        return left if least <= 0.0 else left.kept(filters.cutoff_indices(left.probs, least))

    def _eta(self, left: Remaining) -> Remaining:
        epsilon = self.params.eta_cutoff
        if epsilon <= 0.0:
            return left
        return left.kept(filters.cutoff_indices(left.probs, filters.eta(left.probs, epsilon)))

    def _xtc(self, left: Remaining) -> Remaining:
        params = self.params
        if params.xtc_probability == 0.0 or params.xtc_threshold > 0.5 or len(left) < 2:
            return left
        assert self._rng is not None
        if self._rng.random() > params.xtc_probability:
            return left
        return left.kept(filters.xtc_indices(left.probs, params.xtc_threshold))

    def _infill(self, left: Remaining) -> Remaining:
        ids = np.arange(len(left)) if left.ids is None else left.ids
        tokenizer = self._tokenizer
        ends = tokenizer.eog_ids | self._ends
        kept = infill_indices(left.probs, ids, ends, tokenizer.token_bytes)
        if kept is not None:
            return left.kept(kept)
        possible = [end for end in sorted(ends) if self._logits[end] > -np.inf]
        if not possible:  # a model that ends nothing, or an answer that may not end yet
            return left
        end = tokenizer.vocabulary.special.get("eot", tokenizer.eos_id)
        return Remaining(np.zeros(1), np.array([end if end in possible else possible[0]]))


def _looked_at(
    history: History, log: TokenLog, window: int | None
) -> tuple[I64, tuple[I64, NDArray[np.int32]]]:
    """What the penalties look at: tokens seen, and tokens counted with their counts."""
    if window is None:
        return history.seen, history.generated
    ids, counts = np.unique(log.last(window), return_counts=True)
    return ids, (ids, counts.astype(np.int32))
