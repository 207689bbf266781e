"""Prompts and answers that were processed before, so that their beginning need not be again.

What is remembered are pages of KV cache (radix_tree.py), shared with the sequences that filled
them and with those that go on from there. A hit changes no bit: keys and values depend on the
tokens before them alone (docs/numerics.md). Layers that fold what they have seen into a state can
only be returned to where a snapshot was taken (snapshots.py); a hit then ends at the last one.
Those with a window need that before the hit (windows.py), and what is before it may be let go.

Nothing here takes a lock: one thread, the scheduler's, owns it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from collections.abc import Sequence as Seq
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from halfbyte.engine.kv_cache import KVCache
from halfbyte.engine.page_pool import Page, PagePool
from halfbyte.engine.recurrent_state import RecurrentState
from halfbyte.engine.sequence import Sequence
from halfbyte.errors import EngineError
from halfbyte.generation import snapshots, windows
from halfbyte.generation.adaptation import is_of
from halfbyte.generation.cache_file import Sizes
from halfbyte.generation.eviction import evict_leaves, evict_snapshots, evict_windows
from halfbyte.generation.forest import Forest
from halfbyte.generation.leaving import Leaving
from halfbyte.generation.mismatch import Mismatch, find_mismatch
from halfbyte.generation.radix_tree import (
    PAGE_NBYTES,
    TOKEN_NBYTES,
    Branch,
    Node,
    Root,
    follow,
    n_common,
    packed,
)
from halfbyte.generation.retention import snapshot_value, value
from halfbyte.kernels.layouts.kv_pages import PAGE, WindowedLayout
from halfbyte.lazy_dataclass import dataclass


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
        pool: where the sequences' pages come from, and their states.
        max_nbytes: the bound; what running sequences share counts too.

    Attributes:
        pool, max_nbytes: as given; the bound may be changed between calls.
        has_snapshots: whether the sequences have states that cannot be cut back.
        windowed: their layout, where they have layers with a window; else None.
    """

    def __init__(self, pool: PagePool, max_nbytes: int) -> None:
        self.pool, self.max_nbytes = pool, max_nbytes
        self.has_snapshots = pool.states is not None
        layout = pool.layout
        self.windowed = layout if isinstance(layout, WindowedLayout) else None
        self._forest = Forest()

    @property
    def has_places(self) -> bool:
        """Whether prompts go on from places that are noted (radix_tree.KeptState)."""
        return self.has_snapshots or self.windowed is not None

    @property
    def sizes(self) -> Sizes:
        """Of what it holds."""
        states, (page, *others) = self.pool.states, self.pool.layout.blocks
        window = others[0].page_nbytes if others else 0
        return Sizes(page.page_nbytes, 0 if states is None else states.layout.nbytes, window)

    @property
    def nbytes(self) -> int:
        """Bytes of all that is remembered; what several sequences share counts once."""
        return self._forest.nbytes

    def tell_drops(self, on_drop: Callable[[Leaving], object]) -> None:
        """Have somebody told of what goes because the bound is reached, before it does.

        What gives way to running sequences goes at once, and so does what nobody will want.
        """
        self._forest.on_drop = on_drop

    def match(self, tokens: Seq[int] | NDArray[np.int32], adapter: Hashable = None) -> Match:
        """The longest beginning of a prompt that is known, less its last token.

        Its logits are what the caller wants, so it has to be processed. Where memory for a copy
        of a begun page is missing, the full pages are what is known.
        """
        data = packed(tokens)[:-TOKEN_NBYTES]
        root = self._forest.roots.get(adapter)
        if root is None:
            return Match(Sequence.empty(self.pool), 0, None)
        path = follow(root, data)
        last: Branch = path[-1] if path else root
        rest = data[last.end * TOKEN_NBYTES :][:PAGE_NBYTES]
        n_agreed = last.end + last.nearest(rest)[1]
        n = self._take(root, path, data)
        for node in path:
            if 2 * (n - node.begin) >= node.end - node.begin:  # first tokens are often the same
                node.n_uses += 1
                node.used_at = self._forest.now
        if n and self.has_places:
            self._note_use(path[-1], n)
        sequence = self._sequence(path, n)
        return Match(sequence, n_agreed, find_mismatch(last, data, n_agreed))

    def n_known(self, tokens: Seq[int] | NDArray[np.int32], adapter: Hashable = None) -> int:
        """How long a match would be now, where there is memory for a copy."""
        data, root = packed(tokens)[:-TOKEN_NBYTES], self._forest.roots.get(adapter)
        return 0 if root is None else self._take(root, follow(root, data), data)

    def put(
        self,
        tokens: Seq[int] | NDArray[np.int32],
        sequence: Sequence,
        adapter: Hashable = None,
        *,
        is_likely: bool = False,
        likely: Iterable[int] = (),
    ) -> None:
        """Remember a sequence, which may go on: what it holds is shared, not copied.

        What cannot be cut back is remembered as it is, less guesses that came true.

        Args:
            tokens: at least those that it holds.
            sequence: it.
            adapter: what the tokens were processed with.
            is_likely: whether prompts are likely to part there.
            likely: positions before at which they are; of use where layers have windows.
        """
        data = packed(tokens)[: sequence.n_past * TOKEN_NBYTES]
        if not data:
            return
        branch: Branch = self.root(adapter)
        path: list[Node] = []
        kv, n_pages = sequence.kv, -(-sequence.n_past // PAGE)
        pages = zip_longest(kv.pages[:n_pages], kv.windowed[:n_pages])
        for i, (page, window) in enumerate(pages):
            part = data[i * PAGE_NBYTES : (i + 1) * PAGE_NBYTES]
            path.append(self._forest.insert(branch, part, page, window))
            branch = path[-1]
        for node in path:
            node.n_uses, node.used_at = max(node.n_uses, 1), self._forest.now
        for state in sequence.states:
            n = state.first_cut
            if isinstance(state, RecurrentState) and n:
                self._forest.keep(path[(n - 1) // PAGE], n, state.fork(n), is_likely=is_likely)
        if self.windowed is not None:
            n = sequence.n_past
            self._forest.keep(path[-1], n, None, is_likely=is_likely)
            for n in likely:
                self._forest.keep(path[(n - 1) // PAGE], n, None, is_likely=True)
        self._bound()

    def root(self, adapter: Hashable) -> Root:
        """Where an adapter's sequences begin; a new one is not part of the tree yet."""
        return self._forest.roots.get(adapter) or Root(adapter)

    def insert_stored(self, branch: Branch, tokens: bytes, page: Page) -> Node:
        """Have a page that was read from a file go on from a branch of the tree, or a new root.

        Where the bound is exceeded then, others go, and this one where it is the last. Where it is
        of use only with a snapshot, that is so until that is there, or another page is read.
        """
        node = self._forest.insert(branch, tokens, page)
        node.n_uses, node.used_at, node.is_stored = max(node.n_uses, 1), self._forest.now, True
        self._forest.wanted = node
        self._bound()
        if not self.has_places:
            self._forest.wanted = None
        return node

    def insert_window(
        self, node: Node, window: Page, place: Node, n: int, *, is_likely: bool
    ) -> None:
        """Have a node's block of layers with a window that was read from a file.

        It is needed at position n of `place`, which is noted, and of use to nobody before all that
        it needs is there.
        """
        assert self.windowed is not None
        self._forest.keep(place, n, None, is_likely=is_likely)
        self._forest.have_window(node, window)
        node.is_window_stored = True
        self._forest.wanted = None if windows.is_usable(place, n, self.windowed) else place
        self._bound()

    def want_no_more(self) -> None:
        """What was read last need not stay for what was to be read behind it: it does not come."""
        self._forest.wanted = None

    def insert_snapshot(self, node: Node, n: int, state: RecurrentState) -> None:
        """Have a snapshot that was read from a file at a position of a node."""
        self._forest.keep(node, n, state, is_likely=True).is_stored = True
        self._forest.wanted = None
        self._bound()

    def value(self, node: Node, n: int = 0) -> float:
        """How much a page, or its snapshot at a position, is worth now (retention.py)."""
        now = self._forest.now
        return snapshot_value(node, n, now, node.snapshots[n].nbytes) if n else value(node, now)

    def adapters(self, scope: str | None = None) -> list[Hashable]:
        """Whose sequences are remembered, or those of a scope."""
        return [adapter for adapter in self._forest.roots if is_of(adapter, scope)]

    def nodes(self, scope: str | None = None) -> Iterator[Node]:
        """All pages that are remembered, or a scope's, parents before what grows from them."""
        return self._forest.nodes(self.adapters(scope))

    def shrink(self, n_bytes: int) -> int:
        """Make room for running sequences.

        Returns:
            The bytes freed: fewer than asked for where no more is remembered. What a running
            sequence holds too is forgotten, but frees nothing.
        """
        begin, on_drop = self.pool.nbytes, self._forest.on_drop
        self._forest.on_drop = None
        try:
            self._evict(lambda: begin - self.pool.nbytes >= n_bytes)
        finally:
            self._forest.on_drop = on_drop
        return begin - self.pool.nbytes

    def forget(self, adapter: Hashable) -> None:
        """Forget an adapter's sequences; a folder keeps them under the adapter's own digest."""
        for node in reversed(list(self._forest.nodes([adapter]))):
            self._forest.drop(node)  # what grows from a page comes before it

    def n_tokens(self, scope: str | None = None) -> int:
        """Tokens that are remembered, or a scope's; what prompts have in common counts once."""
        return sum(len(node.tokens) for node in self.nodes(scope)) // TOKEN_NBYTES

    def clear(self, scope: str | None = None) -> None:
        """Forget all, or what is a scope's."""
        if scope is None:
            self._forest.clear()
            return
        for adapter in self.adapters(scope):
            self.forget(adapter)

    def _take(self, root: Root, path: list[Node], data: bytes) -> int:
        """Up to which position a match can be used; `path` then ends with the page of the last."""
        if self.windowed is not None:
            return self._take_windowed(root, path, data, self.windowed)
        while True:
            branch = path[-1] if path else root
            rest = data[branch.end * TOKEN_NBYTES :][:PAGE_NBYTES]
            if self.has_snapshots:
                near, end = snapshots.furthest(branch, rest)
            else:
                near, n = branch.nearest(rest)
                end = branch.end + n
            if near is not None:
                path.append(near)
            if end or not path:
                return end
            path.pop()

    def _take_windowed(
        self, root: Root, path: list[Node], data: bytes, layout: WindowedLayout
    ) -> int:
        branch = path[-1] if path else root
        rest = data[branch.end * TOKEN_NBYTES :][:PAGE_NBYTES]
        path[:] = windows.furthest(path, branch, rest, layout)
        if not path:
            return 0
        begin = path[-1].begin
        return begin + n_common(path[-1].tokens, data[begin * TOKEN_NBYTES :])

    def _note_use(self, node: Node, n: int) -> None:
        """A prompt goes on from there."""
        kept = node.snapshots.get(n)
        if kept is None:  # which it may do anywhere, with windows alone
            self._forest.keep(node, n, None, is_likely=True)
        else:
            kept.n_uses, kept.used_at = kept.n_uses + 1, self._forest.now
            # Prompts part here then; they may leave a snapshot anywhere behind it.
            kept.is_likely = kept.is_likely or self.windowed is not None

    def _sequence(self, path: list[Node], n: int) -> Sequence:
        """A new sequence with the first positions along a path, or as many as there is memory."""
        if not n:
            return Sequence.empty(self.pool)
        kept = path[-1].snapshots[n].state if self.has_snapshots else None
        states = [] if kept is None else [kept.fork(n)]
        try:
            return Sequence(self._kv_cache(path, n), *states, n_past=n)
        except EngineError:
            if states:
                return Sequence.empty(self.pool)
            path = path[: n // PAGE]  # without a copy
            if self.windowed is not None:
                path = path[: windows.n_usable(path, self.windowed)]
            n = len(path) * PAGE
            return Sequence(self._kv_cache(path, n), n_past=n)

    def _kv_cache(self, path: list[Node], n: int) -> KVCache:
        pages, blocks = [node.page for node in path], [node.window for node in path]
        return KVCache.of_pages(self.pool, pages, blocks, n)

    def _bound(self) -> None:
        self._evict(lambda: self.nbytes <= self.max_nbytes)

    def _evict(self, is_enough: Callable[[], bool]) -> None:
        """Drop what is worth least, until it is enough or nothing is left."""
        if is_enough():
            return
        if self.windowed is not None:
            evict_windows(self._forest, self.windowed, is_enough)
        else:
            (evict_snapshots if self.has_snapshots else evict_leaves)(self._forest, is_enough)
        if self._forest.wanted is not None and not is_enough():
            self._forest.wanted = None
            self._evict(is_enough)
