"""Whether the pages that a step's tokens attend to are dealt to the threads, and in how many parts.

Threads take a KV head of a block of queries at a time. Where these are too few to share evenly,
each is taken in parts: some of the pages at a time. What the pages give is then kept in memory
until it is merged, which takes a few percent more work (kernels/stages/attention.py).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence

from halfbyte.families.config import ModelConfig
from halfbyte.kernels.layouts.kv_pages import PAGE
from halfbyte.kernels.stages.attention import NO_WINDOW, first_page, query_block
from halfbyte.lazy_dataclass import dataclass

MIN_PAGES = 3  # below, another stage costs more than an uneven share of the heads
MAX_NBYTES = 16 << 20  # of what pages give
_MIN_UNEVENNESS = 1.1  # of threads that take whole heads of several tokens: below, parts cost more
Block = tuple[int, int, int, int, int]  # the first words of record.BLOCK


class SeenPages:
    """Which queries are taken together, and which pages give them anything, in any layer."""

    def __init__(self, config: ModelConfig) -> None:
        self._window, self._n_exact = config.longest_window or NO_WINDOW, config.n_exact
        self._has_sinks, self._most = config.attention_sinks > 0, query_block(config.group)

    def blocks(self, past: int, n: int) -> Iterator[tuple[int, int]]:
        """Blocks of n queries from position `past` on: the first one, and how many.

        All or none of a block leave anything out between sinks and window.
        """
        at = 0
        while at < n:
            n_exact = self._n_exact - past - at
            most = min(self._most, n_exact) if n_exact > 0 else self._most
            yield at, min(most, n - at)
            at += most

    def first_page(self, position: int) -> int:
        """The first page that gives anything to a block from a position on; sinks give as if they
        were a page before the others.
        """
        if position < self._n_exact:
            return 0
        return int(first_page(position, self._window)) - self._has_sinks


@dataclass(frozen=True, slots=True)
class Dealing:
    """Blocks of queries whose pages are dealt out.

    Attributes:
        n_splits: into how many parts each block's are.
        nbytes: what all of them give.
        places: for each block, where in these bytes that of page 0 would lie.
    """

    n_splits: int
    nbytes: int
    places: Sequence[int]


def dealing(
    blocks: Sequence[Block], n_heads: int, n_threads: int, first_page: Callable[[int], int], *,
    most_splits: int, partial_nbytes: int,
) -> Dealing | None:  # fmt: skip
    """How the pages of a step are dealt out; None where they are not.

    Args:
        blocks: queries of a sequence each.
        n_heads: KV heads.
        n_threads: who share them.
        first_page: the first page that gives anything to a block from a position on, in any layer.
        most_splits: parts of a block at most.
        partial_nbytes: what a page gives for a query and a KV head.
    """
    if n_threads == 1 or most_splits == 1 or not blocks:
        return None
    places: list[int] = []
    counts: list[int] = []
    nbytes = 0
    for _, n_queries, position, *_ in blocks:
        first = first_page(position)
        counts.append((position + n_queries - 1) // PAGE + 1 - first)
        page_nbytes = n_heads * n_queries * partial_nbytes
        places.append(nbytes - first * page_nbytes)
        nbytes += counts[-1] * page_nbytes
    if max(counts) < MIN_PAGES or nbytes > MAX_NBYTES:
        return None
    if len(blocks) > 1 or blocks[0][1] > 1:  # a single token's parts cost next to nothing
        work = [n * block[1] for n, block in zip(counts, blocks, strict=True)]
        if _unevenness(work, n_heads, n_threads) < _MIN_UNEVENNESS:
            return None
    return Dealing(min(max(counts), most_splits), nbytes, places)


def _unevenness(work: Sequence[int], n_heads: int, n_threads: int) -> float:
    """What the busiest thread has, over an even share, if each takes the next when it is free."""
    loads = [0] * n_threads
    for n in work:
        for _ in range(n_heads):
            heapq.heapreplace(loads, loads[0] + n)
    return max(loads) * n_threads / (n_heads * sum(work))
