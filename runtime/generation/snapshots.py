"""Snapshots along the paths of a radix tree: where prompts go on whose states cannot be cut back.

A node has those of its own page, by position; those of a page that begins alike serve as well. A
prompt goes on from the last one of its path; what lies behind that is processed again. So what a
snapshot is worth depends on its neighbours (retention.py): those before and behind it on its path.
"""

from __future__ import annotations

from collections.abc import Iterator

from halfbyte.generation.radix_tree import TOKEN_NBYTES, Branch, Node, n_common
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
    found = previous(node, n)
    return 0 if found is None else found[1]


def previous(node: Node, n: int) -> tuple[Node, int] | None:
    """The last snapshot before n on a node's path, and its node, which may only begin alike."""
    above: Branch = node
    while isinstance(above, Node):
        found = [
            (other, position)
            for other in above.parent.children.values()
            for position in other.snapshots
            if position < n and other.tokens.startswith(_up_to(above, position))
        ]
        if found:
            return max(found, key=lambda one: one[1])
        above = above.parent
    return None


def behind(node: Node, n: int) -> int | None:
    """The nearest position behind n with a snapshot, on any path through it; None for none."""
    own = _up_to(node, n)
    level = [one for one in node.parent.children.values() if one.tokens.startswith(own)]
    while level:
        found = [position for one in level for position in one.snapshots if position > n]
        if found:
            return min(found)
        level = [below for one in level for below in one.children.values()]
    return None


def _up_to(node: Node, n: int) -> bytes:
    """The first tokens of a node, as those have them that part from it within its page."""
    return node.tokens[: (n - node.begin) * TOKEN_NBYTES]


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
