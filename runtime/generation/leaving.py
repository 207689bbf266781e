"""What leaves a prefix cache for a disk: pages, and snapshots of states that cannot be cut back."""

from __future__ import annotations

from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from halfbyte.generation.radix_tree import (
    PAGE_NBYTES,
    TOKEN_NBYTES,
    KeptState,
    Node,
    child_digest,
)
from halfbyte.lazy_dataclass import dataclass


class Leaving(Protocol):
    """A page or a snapshot on its way to the disk, as long as its place in the tree is known.

    Attributes:
        parent: the digest of the tokens before its page.
        is_stored: whether a cache folder had it at some time; set when it does.
        is_snapshot: whether it is a snapshot.
    """

    parent: bytes
    is_stored: bool
    is_snapshot: ClassVar[bool]

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

    is_snapshot: ClassVar[bool] = False

    node: Node
    parent: bytes

    @classmethod
    def of(cls, node: Node) -> LeavingPage:
        """One that is in the tree."""
        return cls(node, node.parent.digest)

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
        return self.node.page.data.nbytes

    @property
    def is_stored(self) -> bool:
        """As the node has it."""
        return self.node.is_stored

    @is_stored.setter
    def is_stored(self, value: bool) -> None:
        self.node.is_stored = value

    def data(self) -> NDArray[np.uint8]:
        """Keys and values."""
        page = self.node.page.data
        # What is behind the tokens may change meanwhile.
        return page.copy() if len(self.tokens) < PAGE_NBYTES else page


@dataclass(slots=True, eq=False)
class LeavingSnapshot:
    """A snapshot at a position of a page: see Leaving."""

    is_snapshot: ClassVar[bool] = True

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
        return self.kept.state.nbytes

    @property
    def is_stored(self) -> bool:
        """As the snapshot has it."""
        return self.kept.is_stored

    @is_stored.setter
    def is_stored(self, value: bool) -> None:
        self.kept.is_stored = value

    def data(self) -> NDArray[np.uint8]:
        """Its block."""
        block = self.kept.state.block
        assert block is not None  # something was seen before it
        return block.data


def page_name(parent: bytes, own: bytes) -> str:
    """The name of a page's file, by the digests of the tokens before it and up to its end."""
    return f"{parent.hex()}-{own.hex()}.page"


def snapshot_name(parent: bytes, tokens: bytes) -> str:
    """The name of a snapshot's file; `tokens` are those of its page, up to it."""
    n = len(tokens) // TOKEN_NBYTES
    return f"{parent.hex()}-{child_digest(parent, tokens).hex()}-{n:03}.state"
