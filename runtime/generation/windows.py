"""Where prompts can go on in a radix tree, where layers have windows.

Of these layers a page has a block of its own (WindowedLayout), which can be let go without the rest
of the page. A prompt can go on anywhere behind pages whose blocks are there, as far back as the
next position sees. So a block is of use to what goes on within a window behind it, and to nobody
else, unless it holds the sinks, which all that goes on sees: what is kept longest are those before
*places*, where prompts are known to go on. A place is noted as a snapshot is (snapshots.py), and
has no state of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from collections.abc import Sequence as Seq

from halfbyte.generation import snapshots
from halfbyte.generation.radix_tree import Branch, Node
from halfbyte.kernels.layouts.kv_pages import PAGE, WindowedLayout

_MATCHED = 256  # children that are looked at: more begin alike by a few tokens only


def furthest(path: Seq[Node], branch: Branch, rest: bytes, layout: WindowedLayout) -> list[Node]:
    """The nodes with which the longest beginning of a prompt can be gone on from.

    Args:
        path: its full pages, from a root.
        branch: what goes on from the last one.
        rest: its next tokens, a page at most.
        layout: of the pages.

    Returns:
        All of the path and a child that agrees with some of the rest, or a beginning of the path.
    """
    if not _has_sinks(path, layout):
        return []
    begin = max((i for i, node in enumerate(path, 1) if node.window is None), default=0)
    for child, n in branch.alike(rest, _MATCHED):
        if child.window is not None and layout.first_seen(branch.end + n) >= begin:
            return [*path, child]
    return list(path[: n_usable(path, layout)])


def n_usable(path: Seq[Node], layout: WindowedLayout) -> int:
    """How many nodes of full pages, from a root, a prompt can go on behind at most."""
    if not _has_sinks(path, layout):
        return 0
    begin = found = 0  # of those whose blocks follow one another up to here
    for i, node in enumerate(path, 1):
        if node.window is None:
            begin = i
        elif layout.first_seen(node.end) >= begin:
            found = i
    return found


def _has_sinks(path: Seq[Node], layout: WindowedLayout) -> bool:
    """Whether the block that holds the sinks is there, where all see these."""
    return all(node.window is not None for node in path[: layout.n_stay])


def seen(node: Node, n: int, layout: WindowedLayout) -> Iterator[Node]:
    """The nodes whose blocks a prompt needs that goes on at position n of a node, backwards."""
    first, above = layout.first_seen(n), node
    while above.begin // PAGE >= first:
        yield above
        parent = above.parent
        if not isinstance(parent, Node):
            return
        above = parent
    if layout.n_stay:
        yield node.first


def is_usable(node: Node, n: int, layout: WindowedLayout) -> bool:
    """Whether a prompt can go on at position n of a node."""
    return all(one.window is not None for one in seen(node, n, layout))


def n_needing(
    nodes: Iterable[Node], layout: WindowedLayout, *, lasting: bool = False
) -> Counter[int]:
    """For how many places each node's block is needed; with `lasting`, of those a disk keeps.

    By the nodes' identities, so that nothing here keeps them alive.
    """
    found: Counter[int] = Counter()
    for node in nodes:
        for n in node.snapshots:
            if not lasting or snapshots.is_lasting(node, n):
                found.update(map(id, seen(node, n, layout)))
    return found
