"""Token sequences that were seen, as a tree: what begins alike is held once.

An edge is a page of KV cache and the tokens whose keys and values it holds: PAGE of them, or fewer
at a leaf. So a known prefix is followed by one look into a dict for each page, never token by
token. No sibling's tokens begin with all of another's: a page that has grown replaces what it was.
"""

from __future__ import annotations

import weakref
from array import array
from bisect import bisect_left, insort
from collections.abc import Hashable, Iterator
from collections.abc import Sequence as Seq
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from halfbyte.engine.page_pool import Page
from halfbyte.engine.recurrent_state import RecurrentState
from halfbyte.kernels.layouts.kv_pages import PAGE
from halfbyte.lazy_dataclass import dataclass

TOKEN_NBYTES = 4
PAGE_NBYTES = TOKEN_NBYTES * PAGE  # of a full page's tokens


class Branch:
    """A point of the tree, and what goes on from there.

    Attributes:
        end: tokens from the root.
        digest: of them all and the adapter, which may lie on a disk under it; else empty.
        children: by their tokens.
    """

    __slots__ = ("__weakref__", "_order", "children", "digest", "end")

    def __init__(self, end: int, digest: bytes) -> None:
        self.end, self.digest = end, digest
        self.children: dict[bytes, Node] = {}
        self._order: list[bytes] = []  # of the children's tokens, so that like ones lie together

    def add(self, child: Node) -> None:
        """Have one child more, whose tokens neither begin with another's nor begin another's."""
        self.children[child.tokens] = child
        insort(self._order, child.tokens)

    def remove(self, child: Node) -> None:
        """Have a child no more."""
        del self.children[child.tokens]
        del self._order[bisect_left(self._order, child.tokens)]

    def nearest(self, tokens: bytes) -> tuple[Node | None, int]:
        """The child that shares the most first tokens with these, and how many."""
        at = bisect_left(self._order, tokens)
        best, most = None, 0
        for key in self._order[max(at - 1, 0) : at + 1]:
            n = n_common(key, tokens)
            if n > most:
                best, most = self.children[key], n
        return best, most

    def alike(self, tokens: bytes, most: int) -> Iterator[tuple[Node, int]]:
        """Children that share first tokens with these, and how many, those that share most first.

        At most so many children are looked at.
        """
        above = bisect_left(self._order, tokens)
        below, looked = above - 1, 0
        sides = [self._shared(above, tokens), self._shared(below, tokens)]
        while looked < most and max(sides) > 0:
            if sides[0] >= sides[1]:
                at, n, above = above, sides[0], above + 1
                sides[0] = self._shared(above, tokens)
            else:
                at, n, below = below, sides[1], below - 1
                sides[1] = self._shared(below, tokens)
            looked += 1
            yield self.children[self._order[at]], n

    def _shared(self, at: int, tokens: bytes) -> int:
        """First tokens that the child at a place of the order has, too."""
        return n_common(self._order[at], tokens) if 0 <= at < len(self._order) else 0


class Root(Branch):
    """Where the sequences of one adapter begin, which only a text can name outside the process."""

    __slots__ = ("adapter",)

    def __init__(self, adapter: Hashable) -> None:
        name = b"" if adapter is None else repr(adapter).encode()
        is_lasting = adapter is None or isinstance(adapter, str)
        super().__init__(0, child_digest(b"root", name) if is_lasting else b"")
        self.adapter = adapter


@dataclass(slots=True, eq=False)
class KeptState:
    """A snapshot: what cannot be cut back, as it was at a position.

    Attributes:
        state: never changes, and may be others' too; None where layers have windows, whose blocks
            of the pages before are what it needs (windows.py).
        is_likely: whether prompts are likely to go on from there: a turn ended, or some parted.
        used_at, n_uses, is_stored: as of nodes.
    """

    state: RecurrentState | None
    is_likely: bool
    used_at: int
    n_uses: int = 1
    is_stored: bool = False

    @property
    def nbytes(self) -> int:
        """Bytes of its state."""
        return 0 if self.state is None else self.state.nbytes


class Node(Branch):
    """A page of positions, and the way there.

    Attributes:
        tokens: int32, at most PAGE of them.
        page: their keys and values; what it holds beyond them is nobody's.
        window: those of layers with a window, where they have blocks of their own; None where
            they have none, or it was let go.
        snapshots: by position, counted from the root.
        n_uses: how many requests held it.
        used_at: when the last one did, in tokens that were read before.
        is_stored, is_window_stored: whether a cache folder had it, or that block, at some time.
    """

    __slots__ = (
        "_first", "_parent", "is_stored", "is_window_stored", "n_uses", "page", "snapshots",
        "tokens", "used_at", "window",
    )  # fmt: skip

    def __init__(
        self, parent: Branch, tokens: bytes, page: Page, window: Page | None = None
    ) -> None:
        digest = parent.digest and child_digest(parent.digest, tokens)
        super().__init__(parent.end + len(tokens) // TOKEN_NBYTES, digest)
        # No circles: a dropped tree is freed at once.
        self._parent = weakref.ref(parent)
        self._first: weakref.ref[Node] = (
            parent._first if isinstance(parent, Node) else weakref.ref(self)
        )
        self.tokens, self.page, self.window = tokens, page, window
        self.n_uses = self.used_at = 0
        self.is_stored = self.is_window_stored = False
        self.snapshots: dict[int, KeptState] = {}

    @property
    def begin(self) -> int:
        """Its first position."""
        return self.end - len(self.tokens) // TOKEN_NBYTES

    @property
    def parent(self) -> Branch:
        """Whose child it is, as long as it is in the tree."""
        parent = self._parent()
        assert parent is not None
        return parent

    @property
    def first(self) -> Node:
        """The first page of all that leads to it, as long as it is in the tree."""
        first = self._first()
        assert first is not None
        return first

    @property
    def nbytes(self) -> int:
        """Bytes of its page and its snapshots."""
        window = 0 if self.window is None else self.window.data.nbytes
        return self.page.data.nbytes + window + sum(s.nbytes for s in self.snapshots.values())


def child_digest(parent: bytes, tokens: bytes) -> bytes:
    """What stands for all tokens up to the end of a node."""
    return blake2b(parent + tokens, digest_size=16).digest()


def packed(tokens: Seq[int] | NDArray[np.int32]) -> bytes:
    """Token ids as the tree keeps them."""
    if isinstance(tokens, np.ndarray):
        return tokens.astype(np.int32, copy=False).tobytes()
    return array("i", tokens).tobytes()


def n_common(a: bytes, b: bytes) -> int:
    """How many first tokens are the same."""
    n = min(len(a), len(b)) // TOKEN_NBYTES
    differ = np.frombuffer(a, np.int32, n) != np.frombuffer(b, np.int32, n)
    return int(differ.argmax()) if differ.any() else n


def follow(branch: Branch, tokens: bytes) -> list[Node]:
    """The nodes of full pages along the tokens, from a root."""
    path: list[Node] = []
    at = 0
    while child := branch.children.get(tokens[at : at + PAGE_NBYTES]):
        path.append(child)
        branch, at = child, at + PAGE_NBYTES
    return path


def insert(
    branch: Branch, tokens: bytes, page: Page, window: Page | None = None
) -> tuple[Node, Node | None, bool]:
    """Have at most a page of tokens go on from a branch.

    Returns:
        The node that holds them, which may be an old one that holds more; the node that had held
        the first of them and was replaced; whether the first is new.
    """
    near, n = branch.nearest(tokens)
    if near is not None and n * TOKEN_NBYTES == len(tokens):
        return near, None, False
    node, replaced = Node(branch, tokens, page, window), None
    if near is not None and n * TOKEN_NBYTES == len(near.tokens):
        replaced = near
        node.n_uses, node.used_at, node.snapshots = near.n_uses, near.used_at, near.snapshots
        branch.remove(near)
    branch.add(node)
    return node, replaced, True
