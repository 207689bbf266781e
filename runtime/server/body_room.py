"""Memory for the bodies of all requests that are under way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from halfbyte.server.fault import Fault

TOGETHER = 8  # bodies of the largest size that there is room for, unless told otherwise
_RETRY_S = 1


class BodyRoom:
    """Bytes of bodies that may be here at a time; one client gets half of them at most.

    Args:
        most: bytes.

    Attributes:
        n: bytes that are taken.
    """

    def __init__(self, most: int) -> None:
        self.most, self.n = most, 0
        self._held: dict[str, int] = {}

    @contextmanager
    def of(self, client: str) -> Iterator[Callable[[int], None]]:
        """What a request takes room with, as its body comes; it is given back at the end.

        The function raises Fault where there is none.
        """
        mine = 0

        def keep(n: int) -> None:
            nonlocal mine
            held = self._held.get(client, 0) + n
            if held > self.most // 2:
                message = "body: expected less in all of one client's requests under way"
                raise Fault("rate_limit", f"{message}; come again", retry_after=_RETRY_S)
            if self.n + n > self.most:
                message = "the bodies of requests under way leave no memory; come again"
                raise Fault("overloaded", message, retry_after=_RETRY_S)
            mine, self.n, self._held[client] = mine + n, self.n + n, held

        try:
            yield keep
        finally:
            self.n -= mine
            left = self._held.get(client, 0) - mine
            self._held[client] = left
            if not left:
                del self._held[client]
