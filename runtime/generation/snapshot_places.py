"""Where on the way through a prompt a step ends, so that a snapshot can be taken there.

A chat's next turn leaves the last one's prompt right behind the last message's end: what asks for
an answer and what was thought are not said again. Requests of other kinds share its first message.
And where a prompt has left a remembered one, others will. One that is sent again has its last token
processed, so that it goes on from the one before. Bits do not depend on where steps end, but a step
takes time, so that places lie some tokens apart.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

LEAST = 32  # tokens between places: what a step more costs, roughly
_N_LAST = 2  # ends of turns


def places(
    ids: Sequence[int], begin: int, n_agreed: int, ends: Collection[int], n_shared: int = 0
) -> list[int]:
    """Positions within a prompt, ascending.

    Args:
        ids: the prompt's.
        begin: how many of them are known.
        n_agreed: how many of them a remembered prompt has, too.
        ends: ids that end a turn.
        n_shared: how many of them others wait for; 0 for none.
    """
    marks = np.flatnonzero(np.isin(np.asarray(ids, np.int64), list(ends))) + 1
    likely = {*marks[:1].tolist(), *marks[-_N_LAST:].tolist(), n_agreed, len(ids) - 1}
    found: list[int] = []
    last = begin
    for place in sorted({*likely, n_shared}):
        if begin < place < len(ids) and (place - last >= LEAST or place == n_shared):
            found.append(place)
            last = place
    return found
