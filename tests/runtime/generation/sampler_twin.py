"""A slow twin of a chain of samplers: whole sorts, plain loops, written from the definitions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from halfbyte.generation.params import SamplingParams

Left = list[tuple[int, float]]  # ids with logits, in any order


def shares(left: Left) -> list[float]:
    most = max(x for _, x in left)
    weights = [np.exp(np.float64(x) - most) if x > -np.inf else 0.0 for _, x in left]
    total = sum(weights)
    return [float(w / total) for w in weights]


def by_share(left: Left) -> list[tuple[float, int, float]]:
    """(share, id, logit), the likeliest first, of equals the lowest id."""
    found = [(p, i, x) for p, (i, x) in zip(shares(left), left, strict=True)]
    return sorted(found, key=lambda entry: (-entry[0], entry[1]))


def entropy(left: Left) -> float:
    return -sum(p * np.log(p) for p in shares(left) if p > 0)


class Twin:
    """Of one sequence."""

    def __init__(
        self,
        params: SamplingParams,
        prompt: Sequence[int],
        breakers: Sequence[str],
        token_bytes: Callable[[int], bytes],
        encode: Callable[[str], list[int]],
    ) -> None:
        self.params, self.said, self.n_prompt = params, list(prompt), len(prompt)
        self.breakers, self.token_bytes, self.encode = breakers, token_bytes, encode
        self.mu = 2 * params.mirostat_tau
        decay = params.adaptive_decay
        # As if infinitely many tokens had been on target.
        self.sum = (params.adaptive_target or 0) / (1 - decay)
        self.weight = 1 / (1 - decay)
        self.left: Left = []
        self.final: list[tuple[int, float]] = []

    def distribution(self, logits: np.ndarray, *, xtc_is_on: bool) -> tuple[list[int], list[float]]:
        """Ids that may come, ascending, and their probabilities."""
        left: Left = [(i, float(x)) for i, x in enumerate(logits)]
        for name in self.params.order:
            if name == "xtc" and not xtc_is_on:
                continue
            if name != "adaptive_p":
                left = getattr(self, name)(left)
        self.left = left
        left = self.last(left)
        self.final = [(i, p) for p, (i, x) in zip(shares(left), left, strict=True) if x > -np.inf]
        self.final.sort()
        return [i for i, _ in self.final], [p for _, p in self.final]

    def accept(self, token: int) -> None:
        params = self.params
        if params.mirostat:
            self.mu -= params.mirostat_eta * (
                -np.log2(dict(self.final)[token]) - params.mirostat_tau
            )
        elif params.adaptive_target is not None and "adaptive_p" in params.order:
            p = next(
                p for p, (i, _) in zip(shares(self.left), self.left, strict=True) if i == token
            )
            self.sum = p + params.adaptive_decay * self.sum
            self.weight = 1 + params.adaptive_decay * self.weight
        self.said.append(token)

    def penalties(self, left: Left) -> Left:
        p = self.params
        if p.penalty_window is None:
            seen, counted = set(self.said), self.said[self.n_prompt :]
        else:
            counted = self.said[max(len(self.said) - p.penalty_window, 0) :]
            seen = set(counted)
        out = []
        for i, x in left:
            if i in seen:
                x = x * p.repetition_penalty if x < 0 else x / p.repetition_penalty
            if i in counted:
                x -= p.presence_penalty + counted.count(i) * p.frequency_penalty
            out.append((i, x))
        return out

    def dry(self, left: Left) -> Left:
        p = self.params
        if not p.dry_multiplier or p.dry_window == 0:
            return left
        said = self.said if p.dry_window is None else self.said[-p.dry_window :]
        reach = self._reach(said)
        longest: dict[int, int] = {}
        for at in range(1, len(said)):  # `said[at]` follows a repetition of the end
            n = 0
            while n < reach and n < at and said[at - 1 - n] == said[-1 - n]:
                n += 1
            if n >= p.dry_allowed_length:
                longest[said[at]] = max(longest.get(said[at], 0), n)
        return [(i, x - self._less(i, longest)) for i, x in left]

    def _less(self, token: int, longest: dict[int, int]) -> float:
        p = self.params
        if token not in longest or any(
            b.encode() in self.token_bytes(token) for b in self.breakers
        ):
            return 0.0
        return float(p.dry_multiplier * p.dry_base ** (longest[token] - p.dry_allowed_length))

    def _reach(self, said: list[int]) -> int:
        """Tokens behind the last breaker, be it in one token or in several."""
        for back in range(len(said)):
            token, behind = said[len(said) - 1 - back], said[len(said) - back :]
            found = []
            for breaker in (b.encode() for b in self.breakers):
                piece = self.token_bytes(token)
                if breaker in piece:
                    found.append(0)
                    continue
                for n in range(1, len(breaker)):
                    if piece.endswith(breaker[:n]):
                        tail = self.encode(breaker[n:].decode())
                        if behind[: len(tail)] == tail:
                            found.append(len(tail))
            if found:
                return back - max(found)
        return len(said)

    def top_n_sigma(self, left: Left) -> Left:
        n = self.params.top_n_sigma
        valid = [x for _, x in left if x > -np.inf]
        if n == 0 or len(left) < 2:
            return left
        limit = max(valid) - n * float(np.std(valid))
        return [(i, x if x >= limit else -np.inf) for i, x in left]

    def top_k(self, left: Left) -> Left:
        k = self.params.top_k or len(left)
        return sorted(sorted(left, key=lambda entry: (-entry[1], entry[0]))[:k])

    def typical_p(self, left: Left) -> Left:
        if self.params.typical_p == 1.0:
            return left
        h, found = entropy(left), []
        for p, (i, x) in zip(shares(left), left, strict=True):
            found.append((abs(-np.log(p) - h) if p > 0 else np.inf, i, x, p))
        found.sort()
        total, kept = 0.0, []
        for _, i, x, p in found:
            kept.append((i, x))
            total += p
            if total > self.params.typical_p:
                break
        return sorted(kept)

    def temperature(self, left: Left) -> Left:
        p = self.params
        t = p.temperature
        if p.dynatemp_range and not p.mirostat and len(left) > 1:
            low, high = max(t - p.dynatemp_range, 0), t + p.dynatemp_range
            t = low + (high - low) * (entropy(left) / np.log(len(left))) ** p.dynatemp_exponent
        if t == 0:
            most = max(x for _, x in left)
            first = min(i for i, x in left if x == most)
            return [(i, x if i == first else -np.inf) for i, x in left]
        return [(i, x / t) for i, x in left]

    def top_p(self, left: Left) -> Left:
        total, kept = 0.0, []
        if self.params.top_p == 1.0:
            return left
        for p, i, x in by_share(left):
            kept.append((i, x))
            total += p
            if total >= self.params.top_p:
                break
        return sorted(kept)

    def min_p(self, left: Left) -> Left:
        limit = self.params.min_p * max(shares(left))
        return [entry for entry, p in zip(left, shares(left), strict=True) if p >= limit]

    def xtc(self, left: Left) -> Left:
        ordered = by_share(left)
        above = [i for p, i, _ in ordered if p >= self.params.xtc_threshold]
        return [(i, x) for i, x in left if i not in above[:-1]]

    def top_h(self, left: Left) -> Left:
        if self.params.top_h == 1.0:
            return left
        found = [(i, x) for _, i, x in by_share(left)[:100]]
        h, total, kept = entropy(found) * self.params.top_h, 0.0, []
        for p, entry in zip(shares(found), found, strict=True):
            total -= p * np.log(p) if p > 0 else 0.0
            if kept and total > h:
                break
            kept.append(entry)
        return sorted(kept)

    def _cut(self, left: Left, least: float) -> Left:
        most = max(shares(left))
        return [
            entry for entry, p in zip(left, shares(left), strict=True) if p in (most,) or p >= least
        ]

    def epsilon_cutoff(self, left: Left) -> Left:
        return self._cut(left, self.params.epsilon_cutoff)

    def eta_cutoff(self, left: Left) -> Left:
        epsilon = self.params.eta_cutoff
        return self._cut(left, min(epsilon, epsilon**0.5 * float(np.exp(-entropy(left)))))

    def last(self, left: Left) -> Left:
        p = self.params
        if p.mirostat == 2:
            kept = [(i, x) for s, i, x in by_share(left) if s > 0 and -np.log2(s) <= self.mu]
            return kept or [(i, x) for _, i, x in by_share(left)[:1]]
        if p.mirostat == 1:
            top = [s for s, _, _ in by_share(left)[:100] if s > 0]
            pairs = [(np.log((n + 2) / (n + 1)), np.log(a / b))
                     for n, (a, b) in enumerate(pairwise(top))]  # fmt: skip
            s = sum(t * b for t, b in pairs) / sum(t * t for t, _ in pairs)
            eps = s - 1
            k = ((eps * 2**self.mu) / (1 - 300.0**-eps)) ** (1 / s)
            return [(i, x) for _, i, x in by_share(left)[: max(int(k), 1)]]
        if p.adaptive_target is None or "adaptive_p" not in p.order:
            return left
        aim = min(max(2 * p.adaptive_target - self.sum / self.weight, 0.0), 1.0)
        out = []
        for s, (i, x) in zip(shares(left), left, strict=True):
            far = abs(s - aim) / 0.3
            out.append((i, 5 - 10 * far**2 / (1 + far) if x > -np.inf else x))
        return out
