"""Trees of pages and snapshots: how many bytes they hold."""

from __future__ import annotations

from halfbyte.generation.forest import Forest
from halfbyte.generation.radix_tree import Root, packed
from tests.runtime.generation.remembered import (
    PAGE_SIZE,
    STATE_SIZE,
    empty,
    grow,
    pool_of_states,
    states_of,
)


def test_bytes_are_those_of_pages_and_snapshots_each_once() -> None:
    pool, forest = pool_of_states(), Forest()
    (state,) = states_of(grow(empty(pool), [1, 2]))
    node = forest.insert(Root("x"), packed([1, 2]), pool.take())
    assert forest.nbytes == PAGE_SIZE and forest.leaves == {node}
    for is_likely in (False, True, False):
        kept = forest.keep(node, 2, state, is_likely=is_likely)
        assert forest.nbytes == PAGE_SIZE + STATE_SIZE
    assert kept.is_likely  # once it was
    grown = forest.insert(forest.roots["x"], packed([1, 2, 3]), pool.take())
    assert grown.snapshots == {2: kept} and forest.nbytes == PAGE_SIZE + STATE_SIZE
    forest.drop_snapshot(grown, 2)
    assert forest.nbytes == PAGE_SIZE
    forest.drop(grown)
    assert forest.nbytes == 0 and not forest.roots and not forest.leaves


def test_who_is_told_of_what_goes() -> None:
    pool, forest, told = pool_of_states(), Forest(), list[str]()
    forest.on_drop = lambda leaving: told.append(leaving.name)
    for token, is_told in ((1, True), (2, False)):
        (state,) = states_of(grow(empty(pool), [token]))
        root = forest.roots.get(None) or Root(None)
        node = forest.insert(root, packed([token]), pool.take())
        if is_told:
            forest.keep(node, 1, state, is_likely=False)
        forest.drop(node, is_told=is_told)
    assert [name.rpartition(".")[2] for name in told] == ["state", "page"]


def test_what_was_read_for_what_comes_is_held_by_the_tree_alone() -> None:
    pool, forest = pool_of_states(), Forest()
    forest.wanted = forest.insert(Root(None), packed([1, 2]), pool.take())
    grown = forest.insert(forest.roots[None], packed([1, 2, 3]), pool.take())
    assert pool.nbytes == forest.nbytes == PAGE_SIZE
    forest.drop(grown)
    del grown
    assert pool.nbytes == forest.nbytes == 0
