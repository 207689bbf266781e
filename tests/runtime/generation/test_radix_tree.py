"""The tree of tokens: like beginnings lie together, and a page that grew replaces what it was."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from halfbyte.engine.page_pool import PagePool
from halfbyte.generation import radix_tree
from halfbyte.generation.radix_tree import Branch, Node, Root, follow, insert, packed
from halfbyte.kernels.layouts.kv_pages import PAGE
from tests.runtime.generation.remembered import LAYOUT, n_common

POOL = PagePool(LAYOUT)
short_runs = st.lists(st.sampled_from([0, 1, 70_000]), min_size=1, max_size=6)


def add(branch: Branch, tokens: list[int]) -> Node:
    return insert(branch, packed(tokens), POOL.take())[0]


@given(short_runs, short_runs)
def test_common_tokens(a: list[int], b: list[int]) -> None:
    assert radix_tree.n_common(packed(a), packed(b)) == n_common(a, b)
    assert packed(a) == packed(np.array(a)) == packed(tuple(a))


@given(st.lists(short_runs, max_size=12), short_runs)
def test_the_nearest_child(runs: list[list[int]], tokens: list[int]) -> None:
    """No child begins with another, and none is lost that has not grown into another."""
    root = Root(None)
    for run in runs:
        node = add(root, run)
        assert node.tokens.startswith(packed(run)) and node.parent is root
        assert (node.begin, node.end) == (0, len(node.tokens) // 4)
    keys = list(root.children)
    assert not [(a, b) for a in keys for b in keys if a is not b and b.startswith(a)]
    assert all(any(key.startswith(packed(run)) for key in keys) for run in runs)
    near, n = root.nearest(packed(tokens))
    assert n == max((n_common(tokens, run) for run in runs), default=0)
    assert near is None if n == 0 else near and near.tokens.startswith(packed(tokens[:n]))
    alike = list(root.alike(packed(tokens), 100))
    assert [m for _, m in alike] == sorted((m for _, m in alike), reverse=True)
    shared = {key: radix_tree.n_common(key, packed(tokens)) for key in keys}
    assert {node.tokens: m for node, m in alike} == {k: m for k, m in shared.items() if m}
    assert list(root.alike(packed(tokens), 2)) == alike[:2]
    for node in list(root.children.values()):
        root.remove(node)
    assert root.nearest(packed(tokens)) == (None, 0)


def test_following_full_pages() -> None:
    root = Root("an adapter")
    tokens = list(range(3 * PAGE))
    first = add(root, tokens[:PAGE])
    second = add(first, tokens[PAGE : 2 * PAGE])
    add(second, tokens[2 * PAGE : 2 * PAGE + 9])
    assert follow(root, packed(tokens)) == [first, second]
    assert follow(root, packed(tokens[: 2 * PAGE - 1])) == [first]
    assert follow(root, packed(tokens[1:])) == []
    assert (second.begin, second.end) == (PAGE, 2 * PAGE)


def test_what_is_replaced_hands_its_past_on() -> None:
    root = Root(None)
    old, replaced, is_new = insert(root, packed([1, 2]), POOL.take())
    assert (replaced, is_new) == (None, True)
    kept: Any = object()
    old.snapshots[2] = kept
    old.n_uses, old.used_at = 3, 77
    node, replaced, is_new = insert(root, packed([1, 2, 3]), POOL.take())
    assert (replaced, is_new) == (old, True)
    assert (node.n_uses, node.used_at, node.snapshots) == (3, 77, {2: kept})
    assert insert(root, packed([1, 2]), POOL.take()) == (node, None, False)


def test_a_dropped_tree_frees_its_pages_at_once() -> None:
    pool = PagePool(LAYOUT)
    gc.disable()
    try:
        root: Root | None = Root(None)
        branch: Branch | None = root
        for i in range(2000):  # a long context
            branch, _, _ = insert(branch, packed([i] * PAGE), pool.take())
        assert pool.nbytes == 2000 * LAYOUT.page_nbytes
        root = branch = None
        assert pool.nbytes == 0
    finally:
        gc.enable()
