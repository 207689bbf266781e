"""How many requests are worked on and wait, and whose turn is next."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque

from halfbyte.server.fault import Fault

_LONGEST_S = 60  # that anybody is told to wait


class Gate:
    """Places for requests that compute; whoever waits is served in turns of clients.

    Args:
        n_places: requests at a time.
        n_waiting: most that wait; who comes then is told to come again, but for who has fewer
            waiting than another client, whose last one is told so instead.
        n_each: of the places, those that one client may have; None: all.

    Attributes:
        n_running, n_waiting: how many there are.
        is_stopped: whether nobody is let in any more.
    """

    def __init__(self, n_places: int, n_waiting: int, n_each: int | None = None) -> None:
        self.n_places, self.n_most_waiting = n_places, n_waiting
        self._n_each = n_places if n_each is None else n_each
        self.n_running = self.n_waiting = 0
        self.is_stopped = False
        self._running: dict[str, int] = {}
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}
        self._place_s = 1.0  # how long a place is held, of late

    @property
    def is_full(self) -> bool:
        """Whether the next request would be refused."""
        return self.n_waiting >= self.n_most_waiting and self.n_running >= self.n_places

    @property
    def retry_after(self) -> int:
        """Seconds after which a place in the queue is likely to be free again."""
        guess = self._place_s * (self.n_waiting + 1) / max(self.n_places, 1)
        return max(1, min(math.ceil(guess), _LONGEST_S))

    async def enter(self, client: str, limit_s: float | None = None) -> Place:
        """A place for one request of a client, to be given back.

        Args:
            client: whose it is.
            limit_s: seconds that it waits at most.

        Raises:
            Fault: too many wait, the time is over, or the server ends.
        """
        if self.is_stopped:
            raise ending()
        # Who waits while there is a free place has all that one client may have.
        if self.n_running < self.n_places and self._may_have_more(client):
            return self._take(client)
        if self.n_waiting >= self.n_most_waiting and not self._makes_room(client):
            raise self._refusal()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(client, deque()).append(turn)
        self.n_waiting += 1
        try:  # Python 3.11's wait_for forgets that it was cancelled, where the turn has just come
            came, _ = await asyncio.wait({turn}, timeout=limit_s)
        except asyncio.CancelledError:
            self._give_up(client, turn)
            raise
        if not came:
            self._give_up(client, turn)
            message = f"no place was free within {limit_s:g} s"
            raise Fault("timeout", message, retry_after=self.retry_after)
        turn.result()
        return Place(self, client)

    def stop(self) -> None:
        """Let nobody in any more; who waits is told."""
        self.is_stopped = True
        for queue in self._queues.values():
            for turn in queue:
                turn.set_exception(ending())
        self._queues.clear()
        self.n_waiting = 0

    def leave(self, client: str, held_s: float) -> None:
        """A place is free again."""
        self._place_s += 0.1 * (held_s - self._place_s)
        self._free(client)

    def _may_have_more(self, client: str) -> bool:
        return self._running.get(client, 0) < self._n_each

    def _refusal(self) -> Fault:
        message = f"{self.n_running} requests run and {self.n_waiting} wait; come again"
        return Fault("rate_limit", message, retry_after=self.retry_after)

    def _makes_room(self, client: str) -> bool:
        """Send away the last one of who has most waiting: nobody can fill the queue alone."""
        n_own = len(self._queues.get(client, ()))
        other = max(self._queues, key=lambda name: len(self._queues[name]), default=client)
        if other == client or len(self._queues[other]) <= n_own + 1:
            return False
        self._queues[other].pop().set_exception(self._refusal())
        self.n_waiting -= 1
        return True

    def _give_up(self, client: str, turn: asyncio.Future[None]) -> None:
        """Somebody waits no more, though the turn may have come at the same moment."""
        if not turn.done():
            self.n_waiting -= 1
            queue = self._queues[client]
            queue.remove(turn)
            if not queue:
                del self._queues[client]
        elif turn.exception() is None:
            self._free(client)

    def _take(self, client: str) -> Place:
        self.n_running += 1
        self._running[client] = self._running.get(client, 0) + 1
        return Place(self, client)

    def _free(self, client: str) -> None:
        self.n_running -= 1
        self._running[client] -= 1
        if not self._running[client]:
            del self._running[client]
        self._next()

    def _next(self) -> None:
        """Give the free place to the client who has the fewest, of equals to who waits longest."""
        clients = [name for name in self._queues if self._may_have_more(name)]
        if not clients or self.n_running >= self.n_places:
            return
        client = min(clients, key=lambda name: self._running.get(name, 0))
        queue = self._queues.pop(client)
        turn = queue.popleft()
        if queue:
            self._queues[client] = queue  # behind the others
        self.n_waiting -= 1
        self._take(client)
        turn.set_result(None)


class Place:
    """A request's place; given back once."""

    def __init__(self, gate: Gate, client: str) -> None:
        self._gate, self._client, self._begun_s = gate, client, time.monotonic()
        self._is_left = False

    def leave(self) -> None:
        """Give it back."""
        if not self._is_left:
            self._is_left = True
            self._gate.leave(self._client, time.monotonic() - self._begun_s)


def ending() -> Fault:
    """What a request hears that the server has no time for any more."""
    return Fault("overloaded", "the server ends; come again", retry_after=5)
