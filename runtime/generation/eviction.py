"""What a prefix cache drops first: leaves, or snapshots, where prompts can go on from these alone.

Pages behind the last snapshot of a path are of use to nobody, so that they go with it.
"""

from __future__ import annotations

import heapq
import weakref
from collections.abc import Callable

from halfbyte.generation import snapshots
from halfbyte.generation.forest import Forest
from halfbyte.generation.radix_tree import Branch, Node
from halfbyte.generation.retention import snapshot_value, value

Enough = Callable[[], bool]


def evict_leaves(forest: Forest, is_enough: Enough) -> None:
    """Drop leaves, the least valuable first, until it is enough or none is left."""

    def ranked(leaf: Node) -> tuple[float, int, Node]:
        return value(leaf, forest.now), id(leaf), leaf

    heap = [ranked(leaf) for leaf in forest.leaves if leaf is not forest.wanted]
    heapq.heapify(heap)
    while heap and not is_enough():
        _, _, leaf = heapq.heappop(heap)
        parent = forest.drop(leaf)
        del leaf  # and with it its page
        if isinstance(parent, Node) and not parent.children:
            heapq.heappush(heap, ranked(parent))


def evict_snapshots(forest: Forest, is_enough: Enough) -> None:
    """Drop snapshots, the least valuable first, and with the last of a path the pages it needs."""

    def ranked(node: Node, n: int) -> tuple[float, int, int, weakref.ref[Node]]:
        return snapshot_value(node, n, forest.now), n, id(node), weakref.ref(node)

    _drop_useless_leaves(forest)
    heap = [ranked(node, n) for node in forest.nodes(forest.roots) for n in node.snapshots]
    heapq.heapify(heap)
    while heap and not is_enough():
        _, n, _, ref = heapq.heappop(heap)
        node = ref()
        if node is None or n not in node.snapshots:
            continue
        rank = ranked(node, n)
        if heap and rank > heap[0]:  # its neighbours went, and it is worth more
            heapq.heappush(heap, rank)
            continue
        previous = snapshots.previous(node, n)
        forest.drop_snapshot(node, n)
        _drop_useless(forest, node)
        if previous is not None:  # it may be the last now, with pages of its own, and worth less
            heapq.heappush(heap, ranked(*previous))
        del node, previous  # and with them their pages


def _drop_useless_leaves(forest: Forest) -> None:
    for leaf in list(forest.leaves):
        _drop_useless(forest, leaf, is_told=False)


def _drop_useless(forest: Forest, node: Branch, *, is_told: bool = True) -> None:
    """Drop pages that end no snapshot's path, from a leaf up."""
    while isinstance(node, Node) and not (node.children or node.snapshots):
        if node is forest.wanted:
            return
        node = forest.drop(node, is_told=is_told)
