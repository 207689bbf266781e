"""What a prefix cache drops first: leaves, or snapshots, where prompts can go on from these alone.

Pages behind the last snapshot of a path are of use to nobody, so that they go with it.

Where layers have windows, their blocks go first that no place needs (windows.py), then places, with
the blocks that only they need.
"""

from __future__ import annotations

import heapq
import weakref
from collections import Counter
from collections.abc import Callable

from halfbyte.generation import snapshots, windows
from halfbyte.generation.forest import Forest
from halfbyte.generation.radix_tree import Branch, Node
from halfbyte.generation.retention import snapshot_value, value
from halfbyte.kernels.layouts.kv_pages import WindowedLayout

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

    def value_of(node: Node, n: int) -> float:
        return snapshot_value(node, n, forest.now, node.snapshots[n].nbytes)

    _drop_useless_leaves(forest)
    _drop_places(forest, is_enough, value_of, forest.drop_snapshot)


def evict_windows(forest: Forest, layout: WindowedLayout, is_enough: Enough) -> None:
    """Drop blocks of layers with a window that no place needs, then places; the least valuable
    first of both.
    """
    _drop_useless_leaves(forest)
    needing = windows.n_needing(forest.nodes(forest.roots), layout)
    _drop_spare_windows(forest, is_enough, needing)
    if is_enough():
        return

    def value_of(node: Node, n: int) -> float:
        needed, nbytes = list(windows.seen(node, n, layout)), 0.0
        for one in needed:
            if one.window is None:  # nobody can go on here
                return 0.0
            nbytes += one.window.data.nbytes / needing[id(one)]
        return snapshot_value(node, n, forest.now, nbytes)

    def drop(node: Node, n: int) -> None:
        is_lasting = snapshots.is_lasting(node, n)
        forest.drop_snapshot(node, n)
        for one in windows.seen(node, n, layout):
            needing[id(one)] -= 1
            if is_lasting:  # it may stay for others, which need not last
                forest.tell_window(one)
            if not needing[id(one)]:
                forest.drop_window(one)

    _drop_places(forest, is_enough, value_of, drop)


def _drop_spare_windows(forest: Forest, is_enough: Enough, needing: Counter[int]) -> None:
    spare = [n for n in forest.nodes(forest.roots) if n.window is not None and not needing[id(n)]]
    for node in sorted(spare, key=lambda node: value(node, forest.now)):
        if is_enough():
            return
        forest.drop_window(node)


def _drop_places(
    forest: Forest, is_enough: Enough, value_of: Callable[[Node, int], float],
    drop: Callable[[Node, int], None],
) -> None:  # fmt: skip
    """Drop snapshots by value, and with the last of a path the pages that it needs."""

    def ranked(node: Node, n: int) -> tuple[float, int, int, weakref.ref[Node]]:
        return value_of(node, n), n, id(node), weakref.ref(node)

    heap = [ranked(node, n) for node in forest.nodes(forest.roots) for n in node.snapshots]
    heapq.heapify(heap)
    while heap and not is_enough():
        _, n, _, ref = heapq.heappop(heap)
        node = ref()
        if node is None or n not in node.snapshots or node is forest.wanted:
            continue
        rank = ranked(node, n)
        if heap and rank > heap[0]:  # its neighbours went, and it is worth more
            heapq.heappush(heap, rank)
            continue
        previous = snapshots.previous(node, n)
        drop(node, n)
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
