"""A route as an ASGI application: body, checks, handler, reply, and whoever hangs up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any

from starlette.datastructures import Headers, QueryParams
from starlette.types import Receive, Scope, Send

from halfbyte.cache_scope import scoped
from halfbyte.server.body import ClientGone, read_body, read_object
from halfbyte.server.exchange import Exchange
from halfbyte.server.fault import Fault, fault_of
from halfbyte.server.fields import Fields, checked
from halfbyte.server.protocol import Protocol, Route
from halfbyte.server.reply import Json, Reply
from halfbyte.server.server_state import ServerState

_LARGE = 64 << 10  # bytes of a body that takes more than a moment to read


class Endpoint:
    """Answers the requests of one route."""

    def __init__(self, protocol: Protocol, route: Route, state: ServerState) -> None:
        self.protocol, self.route = protocol, route
        self._state, self._settings = state, state.settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        headers, record = Headers(scope=scope), scope["state"]["record"]
        record.route = self.route.path
        exchange = Exchange(
            self._state, record, path=scope.get("path_params", {}),
            query=QueryParams(scope.get("query_string", b"")),
        )  # fmt: skip
        try:
            with self._state.bodies.of(record.client) as keep:
                body = await read_body(receive, self._settings.max_body, keep)
                with scoped(scope["state"].get("key")):  # what is remembered is each key's own
                    await until_gone(receive, self._answer(exchange, body, headers, send))
        except ClientGone:
            record.is_cut = True
        except Fault as fault:  # before the handler began
            await self._refusal(exchange, fault).send(send, {})
        finally:
            await exchange.close()

    async def _answer(self, exchange: Exchange, body: bytes, headers: Headers, send: Send) -> None:
        try:
            content_type, asked = headers.get("content-type", ""), None
            if len(body) > _LARGE and self.route.fields is not None:
                async with self._state.reading:  # many at a time would take no less time
                    asked = await asyncio.to_thread(self._read, body, content_type)
            else:
                asked = self._read(body, content_type)
            reply: Reply = await self.route.handler(exchange, asked)
        except Exception as error:
            reply = self._refusal(exchange, fault_of(error))
        await reply.send(send, {})

    def _refusal(self, exchange: Exchange, fault: Fault) -> Refusal:
        fault.request_id = exchange.request_id
        exchange.record.error = fault.kind
        return refusal(self.protocol, fault)

    def _read(self, body: bytes, content_type: str) -> Fields | None:
        """The checked fields of a body; None for a route without."""
        if self.route.fields is None:
            return None
        value: dict[str, Any] = {}
        if body or not self.route.needs_no_body:
            value = read_object(body, content_type, self._settings.max_depth)
        return checked(self.route.fields, value, self.protocol.name)


class Refusal(Json):
    """An error in a protocol's shape."""

    def __init__(self, protocol: Protocol, fault: Fault) -> None:
        super().__init__(protocol.error(fault), fault.status)
        self._retry_after = fault.retry_after

    async def send(self, send: Send, headers: Mapping[str, str]) -> None:
        """See Reply."""
        more = {} if self._retry_after is None else {"retry-after": str(self._retry_after)}
        if self.status == 401:
            more["www-authenticate"] = "Bearer"
        await super().send(send, {**headers, **more})


def refusal(protocol: Protocol, fault: Fault) -> Refusal:
    """A fault in a protocol's shape."""
    return Refusal(protocol, fault)


async def until_gone(receive: Receive, work: Awaitable[None]) -> None:
    """Do the work, and give it up when the client closes the connection."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone
        task.result()
    finally:
        for one in (task, gone):
            one.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
