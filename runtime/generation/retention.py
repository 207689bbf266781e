"""What is worth remembering: the value of a leaf or a snapshot in the radix tree.

What a page saves when its prefix comes again are its own tokens. They count the more the longer
the whole prefix is, because nobody notices that 300 tokens are read again, and everybody that
6,000 are. How likely it comes again is told by its uses, and by how much was read since the last
one, counted in tokens: twenty titles and summaries are little beside a long conversation, while
another conversation is as much. All that by bytes:

             log2(1 + uses) x tokens of the whole prefix x tokens of the page
    value =  ----------------------------------------------------------------
                      (tokens read since its last use + 1,024) x bytes

So a conversation outlasts the short requests between its turns, yet gives way to the next one.
Only leaves are dropped, page by page from their ends: what many share outlasts each of its
branches, and a prefix becomes shorter before it is forgotten.

Where states cannot be cut back, prompts go on from snapshots alone, and pages are worth nothing
but what the snapshots behind them are. The tokens of a snapshot are then those since the one before
it, its bytes are its own, and, behind the last one of a path, those of the pages that nobody else
needs. Its uses count as they are, since those are of it alone: a prompt that goes on from a later
one is no use of it. One that was taken on the way is of use only to a prompt that leaves the path
right behind it, before the next one, which one in _ON_THE_WAY does, anywhere as likely:

    value of a snapshot on the way = value x tokens up to the next one / (_ON_THE_WAY x prefix)

So of those that were taken on the way the one nearest to its neighbours goes first, and ends of
turns, where prompts are known to part, are worth as much as ends of paths.

The same holds of places where layers have windows (windows.py). The bytes of a place are its shares
of the blocks that it needs, each of which is shared by all that need it.
"""

from __future__ import annotations

import math

from halfbyte.generation import snapshots
from halfbyte.generation.radix_tree import Node

_GRACE = 1024  # tokens: what is as short is not worth a comparison of ages
_ON_THE_WAY = 8


def value(leaf: Node, now: int) -> float:
    """What dropping a leaf would lose.

    Args:
        leaf: it.
        now: tokens read so far, on the clock of its `used_at`.
    """
    saved = math.log2(1 + leaf.n_uses) * leaf.end * (leaf.end - leaf.begin)
    nbytes = max(leaf.nbytes, 1)  # it may have none, where all layers have a window
    return saved / ((now - leaf.used_at + _GRACE) * nbytes)


def snapshot_value(node: Node, n: int, now: int, nbytes: float) -> float:
    """What dropping the snapshot at a position of a node would lose, and the pages that go too.

    Args:
        node: where it is.
        n: the position.
        now: as above.
        nbytes: its own.
    """
    kept = node.snapshots[n]
    saved = float(kept.n_uses * n * (n - snapshots.before(node, n)))
    behind = snapshots.behind(node, n)
    if behind is None:
        nbytes += sum(page.page.data.nbytes for page in snapshots.pages_alone(node))
    elif not kept.is_likely:
        saved *= (behind - n) / (_ON_THE_WAY * behind)
    nbytes = max(nbytes, 1)  # a place behind a full page needs nothing, where a window is 1 long
    return saved / ((now - kept.used_at + _GRACE) * nbytes)
