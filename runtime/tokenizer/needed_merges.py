"""Which pieces and merges of a vocabulary a text can need.

A merge applies where what it makes is a part of the text, and so do its parts. All others change
nothing, and a model without them encodes the text as the whole model does: a tenth of a second of
a start is not spent on a hundred thousand that one prompt has no use for.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from halfbyte.gguf.strings import Strings

_SPACE = 0x20  # between the two parts of a merge, and in none of them


def needed_for(text: bytes, pieces: Strings, merges: Strings) -> tuple[list[int], list[bytes]]:
    """The ids of pieces that are parts of a text, ascending, and the merges that make such.

    `text` is spelled in the alphabet of the pieces.
    """
    neighbours = np.zeros((256, 256), np.bool_)
    letters = np.frombuffer(text, np.uint8)
    neighbours[letters[:-1], letters[1:]] = True
    ids = [i for i in _candidates(pieces, neighbours) if pieces[i] in text]
    made = (merges[i] for i in _candidates(merges, neighbours))
    return ids, [merge for merge in made if merge.replace(b" ", b"", 1) in text]


def _candidates(strings: Strings, neighbours: NDArray[np.bool_]) -> list[int]:
    """The places of strings whose first two bytes, and last two, are neighbours in a text.

    A space is passed over. Those of one byte are among them.
    """
    data, last = strings.bytes_of_all, strings.starts + strings.lengths - 1
    first, second, ends = data[strings.starts], data[strings.starts + 1], data[last]
    third = data[np.minimum(strings.starts + 2, len(data) - 1)]
    begun = np.where(second == _SPACE, third, second)
    before = np.where(data[last - 1] == _SPACE, data[last - 2], data[last - 1])
    found = neighbours[first, begun] & neighbours[before, ends] | (strings.lengths < 2)
    return [int(i) for i in np.flatnonzero(found)]
