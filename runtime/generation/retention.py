"""What is worth remembering: the value of a leaf of the radix tree, compared with others'.

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
"""

from __future__ import annotations

import math

from halfbyte.generation.radix_tree import Node

_GRACE = 1024  # tokens: what is as short is not worth a comparison of ages


def value(leaf: Node, now: int, *, has_snapshots: bool) -> float:
    """What dropping a leaf would lose.

    Args:
        leaf: it.
        now: tokens read so far, on the clock of its `used_at`.
        has_snapshots: whether only positions with a snapshot can be returned to.
    """
    end = max(leaf.snapshots, default=0) if has_snapshots else leaf.end
    saved = math.log2(1 + leaf.n_uses) * end * max(end - leaf.begin, 0)
    return saved / ((now - leaf.used_at + _GRACE) * leaf.nbytes)
