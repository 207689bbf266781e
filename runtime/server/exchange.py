"""What a protocol's handler sees of a request and of the server."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any

from halfbyte.generation.chat_completion import Part, ToolCall
from halfbyte.server.ask import Ask
from halfbyte.server.fault import Fault
from halfbyte.server.served_model import ServedModel

if TYPE_CHECKING:
    from halfbyte.server.gate import Gate
    from halfbyte.server.server_settings import ServerSettings
    from halfbyte.server.shelf import Shelf


class Exchange:
    """A request that is being answered.

    Attributes:
        client: who asks: the name of its key, or its address.
        path: the route's parameters by name.
        query: those behind the question mark, of several the last.
        headers: with small letters.
        request_id: as the client named it, or a name of our own.
        begun_s: when it came, by time.monotonic().
        created: the same as seconds since 1970.
    """

    def __init__(
        self,
        shelf: Shelf,
        gate: Gate,
        settings: ServerSettings,
        *,
        client: str,
        path: Mapping[str, str],
        query: Mapping[str, str],
        headers: Mapping[str, str],
    ) -> None:
        self.shelf, self.gate, self.settings = shelf, gate, settings
        self.client, self.path, self.query, self.headers = client, path, query, headers
        self.request_id = headers.get("x-request-id") or uuid.uuid4().hex
        self.begun_s, self.created = time.monotonic(), int(time.time())

    async def model(self, name: str | None) -> ServedModel:
        """The model of that name, loaded; None or nothing names the first one.

        Raises:
            Fault: there is none, or it cannot be loaded.
        """
        return await self.shelf.get(name or "")

    async def answer(self, model: ServedModel, ask: Ask) -> list[Any]:
        """The answers to a call, when they are whole: Completion, Infilling, ChatCompletion, Edit.

        Raises:
            Fault: the server is busy; HalfbyteError: as the method.
        """
        async with self.gate.place(self.client):
            return await model.answer(self._limited(ask))

    async def stream(self, model: ServedModel, ask: Ask) -> Answer:
        """The answers as they grow; begun, so that what refuses the call is raised here."""
        place = self.gate.place(self.client)
        await place.__aenter__()
        try:
            stream = await model.stream(self._limited(ask))
        except BaseException:
            await place.__aexit__(None, None, None)
            raise
        return Answer(stream, place, ask.n)

    async def compute(self, work: Callable[..., Any], *args: Any) -> Any:
        """What a function returns that computes for a while, in a thread, once a place is free."""
        async with self.gate.place(self.client):
            return await asyncio.to_thread(work, *args)

    def _limited(self, ask: Ask) -> Ask:
        """The call with the server's limits."""
        options = dict(ask.options)
        if self.settings.timeout is not None:
            asked = options.get("timeout")
            limit = self.settings.timeout
            options["timeout"] = limit if asked is None else min(asked, limit)
        n_most = self.settings.max_n
        for name in ("n", "best_of"):
            n = ask.n if name == "n" else options.get("best_of")
            if n is not None and n > n_most:
                raise Fault(
                    "invalid_request", f"{name}: expected at most {n_most}, got {n}", param=name
                )
        return Ask(ask.method, ask.arguments, options, ask.n)


class Answer:
    """Answers on their way; loop over it to the end, or close it."""

    def __init__(self, stream: Any, place: Any, n: int | None) -> None:
        self._stream, self._place, self._n = stream, place, n

    async def __aiter__(self) -> AsyncIterator[list[tuple[int, Part]]]:
        """The parts that wait at a time, each with the number of its answer, from 0."""
        try:
            async for batch in self._stream.batches():
                yield batch
        finally:
            await self.close()

    async def close(self) -> None:
        """Give up what is left, and the place."""
        place, self._place = self._place, None
        if place is not None:
            await self._stream.aclose()
            await place.__aexit__(None, None, None)

    @property
    def completions(self) -> list[Any]:
        """The results, once the loop has ended."""
        return list(self._stream.completions) if self._n is not None else [self._stream.completion]

    @property
    def n_prompt(self) -> int:
        """Tokens of the prompt."""
        return int(self._stream.n_prompt)

    def logprobs(self, i: int) -> list[Any]:
        """Those of answer i so far; empty where they are not asked for."""
        told = self._stream.logprobs
        mine = told[i] if self._n is not None and told is not None else told
        return mine or []

    def tool_calls(self, i: int) -> list[ToolCall]:
        """The calls of functions in answer i that are whole so far."""
        told = self._stream.tool_calls
        mine = told[i] if self._n is not None and told else told
        return list(mine)
