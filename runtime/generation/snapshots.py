"""Snapshots along the paths of a radix tree: where prompts go on whose states cannot be cut back.

A node has those of its own page, by position; those of a page that begins alike serve as well. A
prompt goes on from the last one of its path; what lies behind that is processed again. So what a
snapshot is worth depends on its neighbours (retention.py): those before and behind it on its path.
"""

from __future__ import annotations

from collections.abc import Iterator

from halfbyte.generation.radix_tree import TOKEN_NBYTES, Branch, Node
from halfbyte.kernels.layouts.kv_pages import PAGE

_MATCHED, _COMPARED = 256, 16  # children that are looked at: more begin alike by a few tokens only


def furthest(branch: Branch, rest: bytes) -> tuple[Node | None, int]:
    """The child from which a prompt can go on furthest, and the position; (None, 0) for none.

    Args:
        branch: what a prompt agrees with.
        rest: its next tokens, a page at most.
    """
    best, end = None, 0
    for child, n in branch.alike(rest, _MATCHED):
        if branch.end + n <= end:
            break
        position = last_in(child, branch.end + n)
        if position > end:
            best, end = child, position
    return best, end


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
        best, end = above, 0
        for other, n_alike in above.parent.alike(above.tokens, _COMPARED):
            if above.begin + n_alike <= end:
                break
            position = last_in(other, min(n - 1, above.begin + n_alike))
            if position > end:
                best, end = other, position
        if end:
            return best, end
        above = above.parent
    return None


def behind(node: Node, n: int) -> int | None:
    """The nearest position behind n with a snapshot, on any path through it; None for none."""
    own = node.tokens[: (n - node.begin) * TOKEN_NBYTES]
    alike = node.parent.alike(own, _COMPARED)
    level = [other for other, n_alike in alike if n_alike * TOKEN_NBYTES == len(own)]
    while level:
        found = [position for one in level for position in one.snapshots if position > n]
        if found:
            return min(found)
        level = [below for one in level for below in one.children.values()]
    return None


def is_lasting(node: Node, n: int) -> bool:
    """Whether a disk keeps it: it is likely to be wanted again, or costs less than its pages."""
    kept = node.snapshots[n]
    if kept.is_likely or behind(node, n) is None:
        return True
    if kept.state is None:
        return False
    nbytes = (n - before(node, n)) * node.page.data.nbytes // PAGE
    return kept.nbytes <= nbytes


def pages_alone(node: Node) -> Iterator[Node]:
    """The pages that nobody needs once a leaf's only snapshot is gone, from the leaf up."""
    if len(node.snapshots) > 1:
        return
    yield node
    above = node.parent
    while isinstance(above, Node) and not above.snapshots and len(above.children) == 1:
        yield above
        above = above.parent
