"""Snapshots along the paths of a radix tree: where prompts go on whose states cannot be cut back.

A node has those of its own page, by position. A prompt goes on from the last one of its path; what
lies behind that is processed again. So what a snapshot is worth depends on its neighbours
(retention.py): those before and behind it on its path.
"""

from __future__ import annotations

from collections.abc import Iterator

from halfbyte.generation.radix_tree import Branch, Node, n_common
from halfbyte.kernels.layouts.kv_pages import PAGE


def furthest(branch: Branch, rest: bytes) -> tuple[Node | None, int]:
    """The child from which a prompt can go on furthest, and the position; (None, 0) for none.

    Args:
        branch: what a prompt agrees with.
        rest: its next tokens, a page at most.
    """
    ends = {
        child: last_in(child, branch.end + n_common(child.tokens, rest))
        for child in branch.children.values()
    }
    near = max(ends, key=ends.__getitem__, default=None)
    return (near, ends[near]) if near is not None and ends[near] else (None, 0)


def last_in(node: Node, n: int) -> int:
    """The last position up to n with a snapshot in a node; 0 where there is none."""
    return max((position for position in node.snapshots if position <= n), default=0)


def before(node: Node, n: int) -> int:
    """The last position before n with a snapshot on a node's path; 0, its beginning, for none."""
    above: Branch = node
    while isinstance(above, Node):
        if position := last_in(above, n - 1):
            return position
        above = above.parent
    return 0


def behind(node: Node, n: int) -> int | None:
    """The nearest position behind n with a snapshot, on any path through it; None for none."""
    own = min((position for position in node.snapshots if position > n), default=None)
    if own is not None:
        return own
    level = list(node.children.values())
    while level:
        found = [min(child.snapshots) for child in level if child.snapshots]
        if found:
            return min(found)
        level = [below for child in level for below in child.children.values()]
    return None


def is_lasting(node: Node, n: int) -> bool:
    """Whether a disk keeps it: it is likely to be wanted again, or costs less than its pages."""
    if node.snapshots[n].is_likely or behind(node, n) is None:
        return True
    nbytes = (n - before(node, n)) * node.page.data.nbytes // PAGE
    return node.snapshots[n].state.nbytes <= nbytes


def pages_alone(node: Node) -> Iterator[Node]:
    """The pages that nobody needs once a leaf's only snapshot is gone, from the leaf up."""
    if len(node.snapshots) > 1:
        return
    yield node
    above = node.parent
    while isinstance(above, Node) and not above.snapshots and len(above.children) == 1:
        yield above
        above = above.parent
