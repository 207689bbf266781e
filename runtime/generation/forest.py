"""The radix trees of a prefix cache, one for each adapter, and how many bytes they hold."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator

from halfbyte.engine.page_pool import Page
from halfbyte.engine.recurrent_state import RecurrentState
from halfbyte.generation import snapshots
from halfbyte.generation.leaving import Leaving, LeavingPage, LeavingSnapshot, LeavingWindow
from halfbyte.generation.radix_tree import TOKEN_NBYTES, Branch, KeptState, Node, Root, insert


class Forest:
    """Trees of pages and snapshots.

    Attributes:
        roots: by adapter; none without pages.
        leaves: the nodes from which nothing grows.
        nbytes: of all pages and snapshots; what several sequences share counts once.
        now: tokens read so far.
        wanted: the page that was read last for what is to be read behind it: it goes last.
        on_drop: called with what goes and may be wanted again, before it does.
    """

    def __init__(self) -> None:
        self.roots: dict[Hashable, Root] = {}
        self.leaves: set[Node] = set()
        self.nbytes = self.now = 0
        self.wanted: Node | None = None
        self.on_drop: Callable[[Leaving], object] | None = None

    def nodes(self, adapters: Iterable[Hashable]) -> Iterator[Node]:
        """All pages of these, parents before what grows from them."""
        left: list[Branch] = [self.roots[adapter] for adapter in adapters if adapter in self.roots]
        while left:
            for child in left.pop().children.values():
                yield child
                left.append(child)

    def insert(self, branch: Branch, tokens: bytes, page: Page, window: Page | None = None) -> Node:
        """Have at most a page of tokens go on from a branch, or from a root that may be new."""
        if isinstance(branch, Root):
            self.roots.setdefault(branch.adapter, branch)
        node, replaced, is_new = insert(branch, tokens, page, window)
        if is_new:
            _share(page, tokens)
            if window is not None:
                _share(window, tokens)
            self.nbytes += node.nbytes
            self.now += node.end - (branch.end if replaced is None else replaced.end)
            self.leaves.add(node)
            if isinstance(branch, Node):
                self.leaves.discard(branch)
        elif window is not None and node.window is None and node.tokens == tokens:
            self.have_window(node, window)
        if replaced is not None:
            self.nbytes -= replaced.nbytes
            self.leaves.discard(replaced)
            if replaced is self.wanted:  # what is not in the tree is held by nobody
                self.wanted = node
        return node

    def have_window(self, node: Node, window: Page) -> None:
        """Have the block of layers with a window that a node lacks."""
        _share(window, node.tokens)
        node.window = window
        self.nbytes += window.data.nbytes

    def keep(
        self, node: Node, n: int, state: RecurrentState | None, *, is_likely: bool
    ) -> KeptState:
        """Have a snapshot at a position of a node."""
        kept = node.snapshots.get(n)
        if kept is None:
            kept = node.snapshots[n] = KeptState(state, is_likely, self.now)
            self.nbytes += kept.nbytes
        kept.is_likely, kept.used_at = kept.is_likely or is_likely, self.now
        return kept

    def drop(self, leaf: Node, *, is_told: bool = True) -> Branch:
        """Forget a leaf and its snapshots; returns what it grew from."""
        for n in list(leaf.snapshots):
            self.drop_snapshot(leaf, n)
        if self.on_drop is not None and is_told:
            self.on_drop(LeavingPage.of(leaf))
            if leaf.window is not None:
                self.on_drop(LeavingWindow.of(leaf))
        parent = leaf.parent
        parent.remove(leaf)
        self.leaves.discard(leaf)
        self.nbytes -= leaf.nbytes
        if leaf is self.wanted:
            self.wanted = None
        if not parent.children:
            if isinstance(parent, Node):
                self.leaves.add(parent)
            elif isinstance(parent, Root):
                del self.roots[parent.adapter]
        return parent

    def drop_snapshot(self, node: Node, n: int) -> None:
        """Forget a snapshot."""
        has_state = node.snapshots[n].state is not None
        if self.on_drop is not None and has_state and snapshots.is_lasting(node, n):
            self.on_drop(LeavingSnapshot.of(node, n))
        self.nbytes -= node.snapshots.pop(n).nbytes

    def drop_window(self, node: Node) -> None:
        """Forget a node's block of layers with a window, and tell nobody."""
        if node.window is not None:
            self.nbytes -= node.window.data.nbytes
            node.window = None

    def tell_window(self, node: Node) -> None:
        """A place goes that is wanted again with a node's block, which may stay for others."""
        if self.on_drop is not None and node.window is not None:
            self.on_drop(LeavingWindow.of(node))

    def clear(self) -> None:
        """Forget all, and tell nobody."""
        self.roots.clear()
        self.leaves.clear()
        self.nbytes, self.wanted = 0, None


def _share(page: Page, tokens: bytes) -> None:
    """These of its first positions are held by others for good."""
    page.n_shared = max(page.n_shared, len(tokens) // TOKEN_NBYTES)
