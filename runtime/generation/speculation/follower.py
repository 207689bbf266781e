"""Following a text: the place in it where an answer seems to be.

As long as the answer says what the text says, the place moves along. Where it says something else,
that is counted, and the place is looked for again.
"""

from __future__ import annotations

from collections.abc import Sequence

from halfbyte.generation.speculation.hit_rates import HitRates, Kind
from halfbyte.generation.speculation.ngram_index import NgramIndex, common_end


class Follower:
    """A place in a text.

    Attributes:
        kind: what text it is.
        text: its index.
        place: of the id that should come next; negative where there is none.
        length: how many ids before it the answer has too.
    """

    def __init__(self, kind: Kind, text: NgramIndex) -> None:
        self.kind, self.text = kind, text
        self.place, self.length = -1, 0

    def follow(self, ids: Sequence[int], n_new: int, rates: HitRates) -> None:
        """Go on to the end of `ids`, of which the last ones are new."""
        if self.place >= 0:
            for token in ids[len(ids) - n_new :]:
                if not self._goes_on_with(token, rates):
                    break
        if self.place < 0:
            self.place, self.length = self.find(ids)

    def find(self, ids: Sequence[int]) -> tuple[int, int]:
        """The place behind the end of `ids`, and how many ids are alike before it."""
        return self.text.find(ids)

    def draft(self, n_most: int) -> list[int]:
        """What should come next."""
        return self.text.after(self.place, n_most) if self.place >= 0 else []

    def lose(self) -> None:
        """The answer has left the text at this place."""
        self.place = -1

    def _goes_on_with(self, token: int, rates: HitRates) -> bool:
        expected = self.text.after(self.place, 1)
        if expected:
            rates.learn(self.kind, self.length, expected[0] == token)
        if expected != [token]:
            self.lose()
            return False
        self.place, self.length = self.place + 1, self.length + 1
        return True


class Context(NgramIndex):
    """The prompt and the answer so far, which may go on repeating itself."""

    def after(self, place: int, n_most: int) -> list[int]:
        """What follows a place; then the same again."""
        ids = self.ids[place : place + n_most]
        while ids and len(ids) < n_most:
            ids += ids[: n_most - len(ids)]
        return ids


class PredictionFollower(Follower):
    """A place in what the answer is expected to be: most of it comes, in this order.

    After a difference the answer goes on near it: behind one id that was replaced, or wherever its
    last ids are found. Far from there only a long match counts.
    """

    _N_NEAR = 96  # ids before and after a difference
    _N_SURE = 4  # ids alike that are no chance

    def __init__(self, ids: list[int]) -> None:
        super().__init__("prediction", NgramIndex(ids))
        self.text.grow(len(ids))
        self.place, self.length = 0, self._N_SURE  # it begins at the beginning
        self._left_at = 0  # where the answer was last surely in it
        self._is_replaced = False  # whether just one id differs so far

    def lose(self) -> None:
        """Look near the last place that was sure."""
        self._is_replaced = self.length >= self._N_SURE
        if self._is_replaced:
            self._left_at = self.place
        self.place = -1

    def find(self, ids: Sequence[int]) -> tuple[int, int]:
        """The longest match near the difference, of equals the nearest; then any long one."""
        text, left_at = self.text.ids, self._left_at
        found, longest, nearest, place = -1, 0, 0, max(left_at - self._N_NEAR, 0)
        end = min(left_at + self._N_NEAR, len(text) - 1)
        while (place := _next_place(text, ids[-1], place, end)) >= 0:
            length = common_end(text, place, ids)
            # Back counts double, since answers go on.
            distance = max(place - left_at, 2 * (left_at - place))
            if (length, -distance) > (longest, -nearest):
                found, longest, nearest = place, length, distance
        is_replaced, self._is_replaced = self._is_replaced, False
        if longest < self._N_SURE:
            if is_replaced and longest <= 1 and left_at + 1 < len(text):
                return left_at + 1, longest
            far, length = self.text.find(ids)
            if length > self._N_SURE:
                return far, length
        return found, longest


def _next_place(ids: Sequence[int], token: int, begin: int, end: int) -> int:
    """The place behind the next such id; negative where there is none."""
    try:
        return ids.index(token, begin, end) + 1
    except ValueError:
        return -1
