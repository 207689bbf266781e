"""Neighbours of snapshots in a tree, against a slow model of its paths."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from halfbyte.generation import snapshots
from halfbyte.generation.prefix_cache import PrefixCache
from halfbyte.generation.radix_tree import Node
from halfbyte.kernels.layouts.kv_pages import PAGE
from tests.runtime.generation.remembered import PAGE_SIZE, empty, grow, pool_of_states

PLENTY = 1 << 40


def tree(*paths: tuple[list[int], list[int]]) -> PrefixCache:
    """Of tokens, and where snapshots are."""
    cache = PrefixCache(pool_of_states(), PLENTY)
    for tokens, positions in paths:
        sequence = empty(cache.pool)
        for n in positions:
            cache.put(tokens, grow(sequence, tokens[sequence.n_past : n]))
    return cache


def node_at(cache: PrefixCache, tokens: list[int]) -> Node:
    """The node whose page holds the last of them."""
    (found,) = (
        node for node in cache.nodes()
        if node.begin < len(tokens) <= node.end and tokens_of(node)[: len(tokens)] == tokens
    )  # fmt: skip
    return found


def tokens_of(node: Node) -> list[int]:
    above: Any = node
    data = b""
    while isinstance(above, Node):
        data, above = above.tokens + data, above.parent
    return list(memoryview(data).cast("i"))


numbers = st.lists(st.integers(1, 700), min_size=1, max_size=6).map(sorted)


@given(numbers, numbers, st.integers(1, 5))
@settings(max_examples=30)
def test_neighbours(first: list[int], second: list[int], n_pages: int) -> None:
    """Two paths that part at the end of a page."""
    parted = n_pages * PAGE
    texts = [1] * 700, [*[1] * parted, *[2] * 200]
    second = [n for n in second if n <= len(texts[1])] or [parted]
    cache = tree((texts[0], first), (texts[1], second))
    both = {n for n in {*first, *second} if n <= parted}
    for text, own in zip(texts, (first, second), strict=True):
        path = sorted({*both, *own})
        for n in path:
            node = node_at(cache, text[:n])
            assert snapshots.before(node, n) == max((m for m in path if m < n), default=0)
            behind = {m for m in path if m > n}
            if n <= parted:  # either path may go on
                behind |= {m for m in {*first, *second} if m > n}
            assert snapshots.behind(node, n) == min(behind, default=None)


def test_the_pages_that_go_with_the_last_snapshot() -> None:
    cache = tree(([1] * 500, [100, 200, 500]), ([1] * 256 + [2] * 200, [456]))
    for tokens, expected in ((500, [500, 384]), (200, [])):
        node = node_at(cache, [1] * tokens)
        assert [page.end for page in snapshots.pages_alone(node)][: len(expected)] == expected
    assert [page.end for page in snapshots.pages_alone(node_at(cache, [1] * 256 + [2] * 200))] == [
        456, 384,
    ]  # fmt: skip
    both = tree(([1] * 100, [50, 100]))
    assert list(snapshots.pages_alone(node_at(both, [1] * 100))) == []


def test_a_disk_keeps_what_is_likely_or_the_last_or_small() -> None:
    cache = tree(([1] * 500, [100, 300, 500]))
    for n, is_large, expected in ((100, False, True), (300, True, False), (500, True, True)):
        node = node_at(cache, [1] * n)
        kept = node.snapshots[n]
        if is_large:
            kept.state = Large()
        assert snapshots.is_lasting(node, n) is expected
    node = node_at(cache, [1] * 300)
    node.snapshots[300].is_likely = True
    assert snapshots.is_lasting(node, 300)


class Large:
    """A state that takes more than the pages before it."""

    nbytes = 100 * PAGE_SIZE
