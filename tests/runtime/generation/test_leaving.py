"""What leaves for a disk: its name, its tokens, and data that nobody changes meanwhile."""

from __future__ import annotations

from halfbyte.generation.leaving import (
    LeavingPage,
    LeavingSnapshot,
    page_name,
    snapshot_name,
)
from halfbyte.generation.prefix_cache import PrefixCache
from halfbyte.generation.radix_tree import Root, child_digest, packed
from tests.runtime.generation.remembered import (
    PAGE_SIZE,
    STATE_SIZE,
    empty,
    grow,
    pool_of_states,
    states_of,
)


def test_a_page_and_a_snapshot_within_it() -> None:
    cache = PrefixCache(pool_of_states(), 1 << 30)
    sequence = grow(empty(cache.pool), [5] * 9)
    cache.put([5] * 9, sequence)
    (state,) = states_of(sequence)
    cache.put([5] * 20, grow(sequence, [5] * 11))
    (node,) = cache.nodes()
    root = Root(None).digest
    page, snapshot = LeavingPage.of(node), LeavingSnapshot.of(node, 9)
    assert (page.tokens, page.end, page.nbytes) == (packed([5] * 20), 20, PAGE_SIZE)
    assert page.name == page_name(root, child_digest(root, packed([5] * 20)))
    assert (snapshot.tokens, snapshot.end, snapshot.nbytes) == (packed([5] * 9), 9, STATE_SIZE)
    assert snapshot.name == snapshot_name(root, packed([5] * 9))
    assert snapshot.name.endswith("-009.state") and page.name.endswith(".page")
    assert snapshot.data() is state.block.data  # type: ignore[union-attr]
    assert page.data() is not node.page.data  # others may write behind its tokens
    assert (page.data() == node.page.data).all()
    for leaving, owner in ((page, node), (snapshot, node.snapshots[9])):
        leaving.is_stored = True
        assert owner.is_stored
