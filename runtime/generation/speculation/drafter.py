"""What an answer may say next: the guesses of one request."""

from __future__ import annotations

from collections.abc import Sequence

from halfbyte.generation.speculation.credit import Credit
from halfbyte.generation.speculation.follower import Context, Follower, PredictionFollower
from halfbyte.generation.speculation.hit_rates import HitRates
from halfbyte.generation.speculation.ngram_index import GAP, NgramIndex
from halfbyte.generation.speculation.pool import Pool
from halfbyte.lazy_dataclass import dataclass

_N_INDEXED = 1024  # ids of a prompt that a step indexes at most: less than a millisecond


@dataclass(frozen=True, slots=True)
class Draft:
    """Ids that may come, each with its chance if those before it do."""

    ids: list[int]
    chances: list[float]

    def first(self, n: int) -> Draft:
        """The first n of them."""
        return Draft(self.ids[:n], self.chances[:n])


class Drafter:
    """Follows an answer through all texts that it may repeat.

    Made in the caller's thread; the rest is the scheduler's.

    Args:
        prediction: what the answer is expected to be.
        lookup: other texts of which it may have parts.
        asks_model: whether a draft model may guess too.

    Attributes:
        credit: what may be lost on its guesses.
        asks_model: as given.
    """

    def __init__(
        self,
        prediction: Sequence[int] = (),
        lookup: Sequence[Sequence[int]] = (),
        *,
        asks_model: bool = True,
    ) -> None:
        self.credit, self.asks_model = Credit(), asks_model
        self._followers: list[Follower] = []
        if prediction:
            self._followers.append(PredictionFollower(list(prediction)))
        if lookup:
            text = NgramIndex([token for ids in lookup for token in (*ids, GAP)])
            text.grow(len(text.ids))
            self._followers.append(Follower("lookup", text))
        self._context: Context | None = None
        self._rates = HitRates()
        self._n_seen = 0

    def draft(self, ids: list[int], n_prompt: int, n_most: int, pool: Pool) -> Draft | None:
        """What may follow `ids`, n_most at most: the guess that is right most likely.

        `ids` is the same list every time, and has grown; its first n_prompt are the prompt.
        """
        if self._context is None:
            self._context = self._begin(ids, n_prompt, pool)
        self._context.grow(_N_INDEXED)
        n_new, self._n_seen = len(ids) - self._n_seen, len(ids)
        best, best_chance = None, 0.0
        for follower in self._followers:
            follower.follow(ids, n_new, self._rates)
            if follower.place >= 0:
                chance = self._rates.chances(follower.kind, follower.length, 1)[0]
                if chance > best_chance:
                    best, best_chance = follower, chance
        if best is None:
            return None
        drafted = best.draft(n_most)
        return Draft(drafted, self._rates.chances(best.kind, best.length, len(drafted)))

    def _begin(self, ids: list[int], n_prompt: int, pool: Pool) -> Context:
        self._rates = HitRates(pool.rates)
        context = Context(ids)
        self._followers.append(Follower("context", context))
        self._followers += [Follower("pool", text) for text in pool.texts]
        self._n_seen = n_prompt
        return context
