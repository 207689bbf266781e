"""How many requests are worked on and wait, and whose turn is next."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from halfbyte.server.fault import Fault


class Gate:
    """Places for requests that compute; whoever waits is served in turns of clients.

    Args:
        n_places: requests at a time.
        n_waiting: most that wait; who comes then is told to come again.
    """

    def __init__(self, n_places: int, n_waiting: int) -> None:
        self.n_places, self.n_most_waiting = n_places, n_waiting
        self.n_running = self.n_waiting = 0
        self._running: dict[str, int] = {}
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def place(self, client: str) -> AsyncIterator[None]:
        """A place for one request of a client.

        Raises:
            Fault: too many wait.
        """
        await self._enter(client)
        try:
            yield
        finally:
            self._leave(client)

    async def _enter(self, client: str) -> None:
        if self.n_running < self.n_places and not self.n_waiting:
            self._take(client)
            return
        if self.n_waiting >= self.n_most_waiting:
            message = f"{self.n_running} requests run and {self.n_waiting} wait; come again"
            raise Fault("rate_limit", message, retry_after=1)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(client, deque()).append(turn)
        self.n_waiting += 1
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave(client)  # the turn came at the same moment
            else:
                self.n_waiting -= 1
                self._queues[client].remove(turn)
            raise

    def _take(self, client: str) -> None:
        self.n_running += 1
        self._running[client] = self._running.get(client, 0) + 1

    def _leave(self, client: str) -> None:
        self.n_running -= 1
        self._running[client] -= 1
        if not self._running[client]:
            del self._running[client]
        self._next()

    def _next(self) -> None:
        """Give the free place to the client who has the fewest, of equals to who waits longest."""
        waiting = [client for client, queue in self._queues.items() if queue]
        if not waiting or self.n_running >= self.n_places:
            return
        client = min(waiting, key=lambda name: self._running.get(name, 0))
        queue = self._queues.pop(client)
        turn = queue.popleft()
        if queue:
            self._queues[client] = queue  # behind the others
        self.n_waiting -= 1
        self._take(client)
        turn.set_result(None)
