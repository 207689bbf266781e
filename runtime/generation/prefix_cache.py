"""Prompts and answers that were processed before, so that their beginning need not be again.

What is remembered are pages of KV cache (radix_tree.py), shared with the sequences that filled
them and with those that go on from there. A hit changes no bit: keys and values depend on the
tokens before them alone (docs/numerics.md). Layers that fold what they have seen into a state can
only be returned to where a snapshot was taken; a hit then ends at the last one.

Nothing here takes a lock: one thread, the scheduler's, owns it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable, Iterable, Iterator
from collections.abc import Sequence as Seq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from halfbyte.engine.kv_cache import KVCache
from halfbyte.engine.page_pool import Page, PagePool
from halfbyte.engine.sequence import Sequence, Snapshot
from halfbyte.errors import EngineError
from halfbyte.generation.adaptation import is_of
from halfbyte.generation.mismatch import Mismatch, find_mismatch
from halfbyte.generation.radix_tree import (
    PAGE_NBYTES,
    TOKEN_NBYTES,
    Branch,
    Node,
    Root,
    follow,
    insert,
    n_common,
    packed,
)
from halfbyte.generation.retention import value
from halfbyte.kernels.layouts.kv_pages import PAGE


@dataclass(frozen=True, slots=True)
class Match:
    """What is known of a prompt.

    Attributes:
        sequence: its first positions, to go on from; another sequence's changes leave it alone.
        n_agreed: first tokens that some remembered sequence shares: more than the sequence holds
            where a snapshot or memory for a copy is missing.
        mismatch: where the prompt leaves a remembered one for a short part only; else None.
    """

    sequence: Sequence
    n_agreed: int
    mismatch: Mismatch | None

    @property
    def n_reused(self) -> int:
        """Tokens of the prompt that need not be processed."""
        return self.sequence.n_past


class PrefixCache:
    """Remembers sequences within a bound in bytes.

    Args:
        pool: where the sequences' pages come from.
        new_sequence: makes an empty one.
        max_nbytes: the bound; pages that running sequences share count too.

    Attributes:
        pool, max_nbytes: as given; the bound may be changed between calls.
        has_snapshots: whether the sequences have states that cannot be cut back.
        on_drop: called with each node that goes because the bound is reached, before it does;
            what gives way to running sequences goes at once.
    """

    def __init__(
        self, pool: PagePool, new_sequence: Callable[[], Sequence], max_nbytes: int
    ) -> None:
        self.max_nbytes = max_nbytes
        self.on_drop: Callable[[Node], object] | None = None
        self.pool, self._new_sequence = pool, new_sequence
        self.has_snapshots = len(new_sequence().states) > 1
        self._roots: dict[Hashable, Root] = {}
        self._leaves: set[Node] = set()
        self._nbytes = 0
        self._now = 0  # tokens read so far

    @property
    def nbytes(self) -> int:
        """Bytes of all that is remembered; what several sequences share counts once."""
        return self._nbytes

    def match(self, tokens: Seq[int] | NDArray[np.int32], adapter: Hashable = None) -> Match:
        """The longest beginning of a prompt that is known, less its last token.

        Its logits are what the caller wants, so it has to be processed. Where memory for a copy
        of a begun page is missing, the full pages are what is known.
        """
        data = packed(tokens)[:-TOKEN_NBYTES]
        root = self._roots.get(adapter)
        if root is None:
            return Match(self._new_sequence(), 0, None)
        path = follow(root, data)
        last: Branch = path[-1] if path else root
        rest = data[last.end * TOKEN_NBYTES :][:PAGE_NBYTES]
        n_agreed = last.end + last.nearest(rest)[1]
        n = self._take(root, path, data)
        for node in path:
            if 2 * (n - node.begin) >= node.end - node.begin:  # first tokens are often the same
                node.n_uses += 1
                node.used_at = self._now
        sequence = self._sequence(path, n)
        return Match(sequence, n_agreed, find_mismatch(last, data, n_agreed))

    def n_known(self, tokens: Seq[int] | NDArray[np.int32], adapter: Hashable = None) -> int:
        """How long a match would be now, where there is memory for a copy."""
        data, root = packed(tokens)[:-TOKEN_NBYTES], self._roots.get(adapter)
        return 0 if root is None else self._take(root, follow(root, data), data)

    def put(
        self,
        tokens: Seq[int] | NDArray[np.int32],
        sequence: Sequence,
        adapter: Hashable = None,
        snapshots: Iterable[Snapshot] = (),
    ) -> None:
        """Remember a sequence, which may go on: its pages are shared, not copied.

        Args:
            tokens: at least those that it holds.
            sequence: which has not been cut back since the snapshots.
            adapter: what the tokens were processed with.
            snapshots: of it, at earlier positions.
        """
        data = packed(tokens)[: sequence.n_past * TOKEN_NBYTES]
        if not data:
            return
        branch: Branch = self._roots.setdefault(adapter, Root(adapter))
        path: list[Node] = []
        for i, page in enumerate(sequence.kv.pages[: -(-sequence.n_past // PAGE)]):
            part = data[i * PAGE_NBYTES : (i + 1) * PAGE_NBYTES]
            path.append(self._insert(branch, part, page))
            branch = path[-1]
        for node in path:
            node.n_uses, node.used_at = max(node.n_uses, 1), self._now
        if self.has_snapshots:
            self._remember_states(path, [*(s.sequence for s in snapshots), sequence])
        self._evict(lambda: self._nbytes <= self.max_nbytes)

    def root(self, adapter: Hashable) -> Root:
        """Where an adapter's sequences begin; a new one is not part of the tree yet."""
        return self._roots.get(adapter) or Root(adapter)

    def insert_stored(self, branch: Branch, tokens: bytes, page: Page) -> Node:
        """Have a page that was read from a file go on from a branch of the tree, or a new root.

        Where the bound is exceeded then, others go, and this one where it is the last.
        """
        if isinstance(branch, Root):
            self._roots.setdefault(branch.adapter, branch)
        node = self._insert(branch, tokens, page)
        node.n_uses, node.used_at, node.is_stored = max(node.n_uses, 1), self._now, True
        self._leaves.discard(node)  # it is wanted now
        self._evict(lambda: self._nbytes <= self.max_nbytes)
        if not node.children:
            self._leaves.add(node)
        self._evict(lambda: self._nbytes <= self.max_nbytes)
        return node

    def value(self, node: Node) -> float:
        """How much a page is worth now, if nothing grows from it (retention.py)."""
        return value(node, self._now, has_snapshots=self.has_snapshots)

    def adapters(self, scope: str | None = None) -> list[Hashable]:
        """Whose sequences are remembered, or those of a scope."""
        return [adapter for adapter in self._roots if is_of(adapter, scope)]

    def nodes(self, scope: str | None = None) -> Iterator[Node]:
        """All pages that are remembered, or a scope's, parents before what grows from them."""
        return _nodes_of(root for adapter, root in self._roots.items() if is_of(adapter, scope))

    def shrink(self, n_bytes: int) -> int:
        """Make room for running sequences.

        Returns:
            The bytes freed: fewer than asked for where no more is remembered. A page that a
            running sequence holds too is forgotten, but frees nothing.
        """
        begin, on_drop = self.pool.nbytes, self.on_drop
        self.on_drop = None
        try:
            self._evict(lambda: begin - self.pool.nbytes >= n_bytes)
        finally:
            self.on_drop = on_drop
        return begin - self.pool.nbytes

    def forget(self, adapter: Hashable) -> None:
        """Forget an adapter's sequences; a folder keeps them under the adapter's own digest."""
        root = self._roots.get(adapter)
        for node in reversed(list(_nodes_of([] if root is None else [root]))):
            self._drop(node)  # what grows from a page comes before it

    def n_tokens(self, scope: str | None = None) -> int:
        """Tokens that are remembered, or a scope's; what prompts have in common counts once."""
        return sum(len(node.tokens) for node in self.nodes(scope)) // TOKEN_NBYTES

    def clear(self, scope: str | None = None) -> None:
        """Forget all, or what is a scope's."""
        if scope is not None:
            for adapter in self.adapters(scope):
                self.forget(adapter)
            return
        self._roots.clear()
        self._leaves.clear()
        self._nbytes = 0

    def _take(self, root: Root, path: list[Node], data: bytes) -> int:
        """Up to which position a match can be used; `path` then ends with the page of the last."""
        while True:
            branch = path[-1] if path else root
            rest = data[branch.end * TOKEN_NBYTES :][:PAGE_NBYTES]
            near, end = self._furthest(branch, rest)
            if near is not None:
                path.append(near)
            if end or not path:
                return end
            path.pop()

    def _furthest(self, branch: Branch, rest: bytes) -> tuple[Node | None, int]:
        """The child that most can be used of, up to a position; 0 where none was kept there."""
        if not self.has_snapshots:
            near, n = branch.nearest(rest)
            return near, branch.end + n
        ends = {
            child: _last_snapshot(child, branch.end + n_common(child.tokens, rest))
            for child in branch.children.values()
        }
        near = max(ends, key=ends.__getitem__, default=None)
        return (near, ends[near]) if near is not None and ends[near] else (None, 0)

    def _sequence(self, path: list[Node], n: int) -> Sequence:
        """A new sequence with the first positions along a path, or as many as there is memory."""
        pages = [node.page for node in path]
        if self.has_snapshots:
            if not n:
                return self._new_sequence()
            try:
                others = [state.fork(n) for state in path[-1].snapshots[n]]
                return Sequence(KVCache.of_pages(self.pool, pages, n), *others, n_past=n)
            except EngineError:
                return self._new_sequence()
        try:
            return Sequence(KVCache.of_pages(self.pool, pages, n), n_past=n)
        except EngineError:
            n -= n % PAGE
            return Sequence(KVCache.of_pages(self.pool, pages, n), n_past=n)

    def _insert(self, branch: Branch, tokens: bytes, page: Page) -> Node:
        node, replaced, is_new = insert(branch, tokens, page)
        if is_new:
            page.n_shared = max(page.n_shared, len(tokens) // TOKEN_NBYTES)
            self._nbytes += node.nbytes
            self._now += node.end - (branch.end if replaced is None else replaced.end)
            self._leaves.add(node)
            if isinstance(branch, Node):
                self._leaves.discard(branch)
        if replaced is not None:
            self._nbytes -= replaced.nbytes
            self._leaves.discard(replaced)
        return node

    def _remember_states(self, path: list[Node], sequences: Iterable[Sequence]) -> None:
        """Keep what cannot be cut back, where it is; as much as there is memory for."""
        for sequence in sequences:
            n = sequence.n_past
            snapshots = path[(n - 1) // PAGE].snapshots
            if n == 0 or n in snapshots:
                continue
            try:
                states = tuple(state.fork(n) for state in sequence.states[1:])
            except EngineError:
                return
            snapshots[n] = states
            self._nbytes += sum(state.nbytes for state in states)

    def _evict(self, is_enough: Callable[[], bool]) -> None:
        """Drop leaves, the least valuable first, until it is enough or nothing is left."""
        if is_enough():
            return
        heap = [self._ranked(leaf) for leaf in self._leaves]
        heapq.heapify(heap)
        while heap and not is_enough():
            _, _, leaf = heapq.heappop(heap)
            parent = self._drop(leaf)
            del leaf  # and with it its page
            if isinstance(parent, Node) and not parent.children:
                heapq.heappush(heap, self._ranked(parent))

    def _ranked(self, leaf: Node) -> tuple[float, int, Node]:
        return self.value(leaf), id(leaf), leaf

    def _drop(self, leaf: Node) -> Branch:
        """Forget a leaf; returns what it grew from."""
        if self.on_drop is not None:
            self.on_drop(leaf)
        parent = leaf.parent
        parent.remove(leaf)
        self._leaves.discard(leaf)
        self._nbytes -= leaf.nbytes
        if not parent.children:
            if isinstance(parent, Node):
                self._leaves.add(parent)
            elif isinstance(parent, Root):
                del self._roots[parent.adapter]
        return parent


def _nodes_of(roots: Iterable[Root]) -> Iterator[Node]:
    """All pages that grow from these, parents before what grows from them."""
    left: list[Branch] = list(roots)
    while left:
        for child in left.pop().children.values():
            yield child
            left.append(child)


def _last_snapshot(node: Node, n: int) -> int:
    """The last position up to n with a snapshot in a node; 0 where there is none."""
    return max((position for position in node.snapshots if position <= n), default=0)
