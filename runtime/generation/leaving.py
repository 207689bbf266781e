"""What leaves a prefix cache for a disk: pages, their blocks of layers with a window, and snapshots
of states that cannot be cut back.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from halfbyte.engine.page_pool import Page
from halfbyte.generation.radix_tree import (
    PAGE_NBYTES,
    TOKEN_NBYTES,
    KeptState,
    Node,
    child_digest,
)
from halfbyte.lazy_dataclass import dataclass

Kind = Literal["page", "window", "snapshot"]


class Leaving(Protocol):
    """A page, a block or a snapshot on its way to the disk, while its place in the tree is known.

    Attributes:
        parent: the digest of the tokens before its page.
        is_stored: whether a cache folder had it at some time; set when it does.
        kind: which of these it is.
    """

    parent: bytes
    is_stored: bool
    kind: ClassVar[Kind]

    @property
    def tokens(self) -> bytes:
        """Those of its page, up to where it stands."""

    @property
    def end(self) -> int:
        """Where that is, in tokens from the root."""

    @property
    def name(self) -> str:
        """What tells it from all others: its file's."""

    @property
    def nbytes(self) -> int:
        """Bytes of its data."""

    def data(self) -> NDArray[np.uint8]:
        """What is to be written; nobody else changes it."""


@dataclass(slots=True, eq=False)
class LeavingPage:
    """A page: see Leaving."""

    kind: ClassVar[Kind] = "page"

    node: Node
    parent: bytes

    @classmethod
    def of(cls, node: Node) -> LeavingPage:
        """One that is in the tree."""
        return cls(node, node.parent.digest)

    @property
    def held(self) -> Page:
        """Its keys and values."""
        return self.node.page

    @property
    def tokens(self) -> bytes:
        """All of the page."""
        return self.node.tokens

    @property
    def end(self) -> int:
        """Of the page."""
        return self.node.end

    @property
    def name(self) -> str:
        """By its own digest."""
        return page_name(self.parent, self.node.digest)

    @property
    def nbytes(self) -> int:
        """Of its keys and values."""
        return self.held.data.nbytes

    @property
    def is_stored(self) -> bool:
        """As the node has it."""
        return self.node.is_stored

    @is_stored.setter
    def is_stored(self, value: bool) -> None:
        self.node.is_stored = value

    def data(self) -> NDArray[np.uint8]:
        """Keys and values; what is behind its tokens may change meanwhile."""
        page = self.held
        return page.data.copy() if len(self.tokens) < PAGE_NBYTES else page.data


@dataclass(slots=True, eq=False)
class LeavingWindow(LeavingPage):
    """A page's block of layers with a window: see Leaving."""

    kind: ClassVar[Kind] = "window"

    window: Page  # the node may let it go meanwhile

    @classmethod
    def of(cls, node: Node) -> LeavingWindow:
        """One that is in the tree."""
        if node.window is None:
            raise ValueError("a block that was let go")
        return cls(node, node.parent.digest, node.window)

    @property
    def held(self) -> Page:
        """Their keys and values."""
        return self.window

    @property
    def name(self) -> str:
        """By the page's digest."""
        return window_name(self.parent, self.node.digest)

    @property
    def is_stored(self) -> bool:
        """As the node has it."""
        return self.node.is_window_stored

    @is_stored.setter
    def is_stored(self, value: bool) -> None:
        self.node.is_window_stored = value


@dataclass(slots=True, eq=False)
class LeavingSnapshot:
    """A snapshot at a position of a page: see Leaving."""

    kind: ClassVar[Kind] = "snapshot"

    kept: KeptState
    parent: bytes
    tokens: bytes
    end: int

    @classmethod
    def of(cls, node: Node, end: int) -> LeavingSnapshot:
        """One that is in the tree."""
        tokens = node.tokens[: (end - node.begin) * TOKEN_NBYTES]
        return cls(node.snapshots[end], node.parent.digest, tokens, end)

    @property
    def name(self) -> str:
        """By the digest of the tokens up to it."""
        return snapshot_name(self.parent, self.tokens)

    @property
    def nbytes(self) -> int:
        """Of its state."""
        return self.kept.nbytes

    @property
    def is_stored(self) -> bool:
        """As the snapshot has it."""
        return self.kept.is_stored

    @is_stored.setter
    def is_stored(self, value: bool) -> None:
        self.kept.is_stored = value

    def data(self) -> NDArray[np.uint8]:
        """Its block."""
        state = self.kept.state
        assert state is not None and state.block is not None  # something was seen before it
        return state.block.data


def page_name(parent: bytes, own: bytes) -> str:
    """The name of a page's file, by the digests of the tokens before it and up to its end."""
    return f"{parent.hex()}-{own.hex()}.page"


def window_name(parent: bytes, own: bytes) -> str:
    """The name of the file of its block of layers with a window."""
    return f"{parent.hex()}-{own.hex()}.window"


def snapshot_name(parent: bytes, tokens: bytes) -> str:
    """The name of a snapshot's file; `tokens` are those of its page, up to it."""
    n = len(tokens) // TOKEN_NBYTES
    return f"{parent.hex()}-{child_digest(parent, tokens).hex()}-{n:03}.state"
