"""An index of token ids that finds where the end of others has occurred before.

The latest place after each two ids is kept in a table, and with each place the one before it, as
compressors of the LZ77 family do; a search walks some of them back and takes the longest match. An
id is indexed in less than a microsecond, and a match found in some microseconds.
"""

from __future__ import annotations

from collections.abc import Sequence

N_LEAST = 2  # ids that a match has
GAP = -1  # stands between texts, and matches nothing
_N_MOST = 16  # ids that are compared
_N_PLACES = 32  # that are looked at
_BITS = 20  # of an id; those of larger ones only make a key ambiguous


class NgramIndex:
    """A text, as ids, and where its parts are.

    Args:
        ids: the text. The list itself is looked at; it may grow behind what is indexed.

    Attributes:
        ids: the same.
    """

    def __init__(self, ids: list[int]) -> None:
        self.ids = ids
        self._latest: dict[int, int] = {}
        self._earlier: list[int] = []  # of each place, the one before it with the same two ids

    def grow(self, n_most: int) -> None:
        """Index what is not indexed yet, so many ids at most."""
        latest, earlier, begin = self._latest, self._earlier, len(self._earlier)
        before = self.ids[begin - 1] if begin else GAP
        for place, token in enumerate(self.ids[begin : begin + n_most], begin + 1):
            key = before << _BITS | token
            earlier.append(latest.get(key, 0))
            latest[key] = place
            before = token

    def find(self, ids: Sequence[int]) -> tuple[int, int]:
        """Where the text goes on after the longest match with the end of `ids`, and its length.

        Of equally long ones the latest; (-1, 0) where there is none that anything follows.
        """
        if len(ids) < N_LEAST:
            return -1, 0
        mine, found, longest = self.ids, -1, N_LEAST - 1
        place = self._latest.get(ids[-2] << _BITS | ids[-1], 0)
        for _ in range(_N_PLACES):
            if place <= 0:
                break
            length = common_end(mine, place, ids)
            if length > longest and place < len(mine) and mine[place] != GAP:
                found, longest = place, length
            place = self._earlier[place - 1]
        return (found, longest) if found >= 0 else (-1, 0)

    def after(self, place: int, n_most: int) -> list[int]:
        """What follows a place in the text, up to a gap."""
        ids = self.ids[place : place + n_most]
        return ids[: ids.index(GAP)] if GAP in ids else ids


def common_end(text: Sequence[int], place: int, ids: Sequence[int]) -> int:
    """How many ids before a place in a text are those at the end of `ids`; 16 are enough."""
    length, most = 0, min(place, len(ids), _N_MOST)
    while length < most and text[place - 1 - length] == ids[-1 - length]:
        length += 1
    return length
