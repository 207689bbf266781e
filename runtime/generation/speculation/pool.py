"""What a model has said lately: n-grams that all requests of a scope share, bounded in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from halfbyte.generation.speculation.hit_rates import HitRates
from halfbyte.generation.speculation.ngram_index import GAP, NgramIndex

N_IDS = 1 << 15  # of each half: some 4 MB
_MOST_POOLS = 8


class Pool:
    """Answers of the past, in two halves: once the newer one is full, the older is dropped.

    Attributes:
        texts: the newer half, and the older one.
        rates: how often guesses were right, of all requests.
    """

    def __init__(self) -> None:
        self.texts = NgramIndex([]), NgramIndex([])
        self.rates = HitRates()

    def add(self, ids: Sequence[int]) -> None:
        """Remember an answer, of a long one the end."""
        kept = ids[-N_IDS + 1 :]
        if len(self.texts[0].ids) + len(kept) >= N_IDS:
            self.texts = NgramIndex([]), self.texts[0]
        newer = self.texts[0]
        newer.ids += kept
        newer.ids.append(GAP)
        newer.grow(N_IDS)


class Pools:
    """A pool for each scope (cache_scope.py), those used last."""

    def __init__(self) -> None:
        self._pools: OrderedDict[str | None, Pool] = OrderedDict()

    def of(self, scope: str | None) -> Pool:
        """A scope's."""
        if scope not in self._pools:
            self._pools[scope] = Pool()
            while len(self._pools) > _MOST_POOLS:
                self._pools.popitem(last=False)
        self._pools.move_to_end(scope)
        return self._pools[scope]
