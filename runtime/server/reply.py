"""Answers as bytes: JSON, server-sent events, and lines of JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from starlette.types import Send

Headers = Mapping[str, str]
_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))  # making one takes a while
PING_S = 10.0  # seconds without an event after which a comment keeps the connection alive


def dumps(value: object) -> bytes:
    """JSON on one line without blanks, as some editors' regular expressions want it."""
    return _JSON.encode(value).encode()


class Reply(Protocol):
    """Something that can be sent."""

    status: int

    async def send(self, send: Send, headers: Headers) -> None:
        """Send it, with further headers."""


class Plain:
    """A body at once."""

    def __init__(
        self, body: bytes, status: int = 200, content_type: str = "text/plain; charset=utf-8"
    ) -> None:
        self.body, self.status, self.content_type = body, status, content_type

    async def send(self, send: Send, headers: Headers) -> None:
        """See Reply."""
        length = {"content-length": str(len(self.body)), "content-type": self.content_type}
        await _start(send, self.status, {**headers, **length})
        await send({"type": "http.response.body", "body": self.body})


class Json(Plain):
    """A JSON value."""

    def __init__(self, value: object, status: int = 200) -> None:
        super().__init__(dumps(value), status, "application/json")


class Events:
    """Server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html.

    Args:
        chunks: finished events; those that wait are one chunk (see `event`). It ends with the
            protocol's own last event, whatever went wrong.
    """

    content_type = "text/event-stream; charset=utf-8"
    ping: bytes | None = b": still working\n\n"

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self.status, self._chunks = 200, chunks

    async def send(self, send: Send, headers: Headers) -> None:
        """See Reply."""
        own = {"content-type": self.content_type, "cache-control": "no-cache"}
        await _start(send, self.status, {**headers, **own})
        pinging = asyncio.ensure_future(self._ping(send)) if self.ping is not None else None
        self._is_quiet = True
        try:
            async for chunk in self._chunks:
                self._is_quiet = False
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        finally:
            if pinging is not None:
                pinging.cancel()
        await send({"type": "http.response.body", "body": b""})

    async def _ping(self, send: Send) -> None:
        while True:
            await asyncio.sleep(PING_S)
            if self._is_quiet:
                await send({"type": "http.response.body", "body": self.ping, "more_body": True})
            self._is_quiet = True


class Lines(Events):
    """JSON values, a line each; between lines nothing can be sent to keep a connection alive."""

    content_type = "application/x-ndjson"
    ping = None


def event(value: object, name: str = "") -> bytes:
    """A server-sent event whose data is JSON."""
    head = f"event: {name}\n".encode() if name else b""
    return b"%bdata: %b\n\n" % (head, dumps(value))


DONE = b"data: [DONE]\n\n"


async def _start(send: Send, status: int, headers: Headers) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in headers.items()
            ],
        }
    )
