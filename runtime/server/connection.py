"""A connection: uvicorn's, with limits on heads, on waiting for bodies and for slow readers."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from halfbyte.server.reply import dumps

log = logging.getLogger(__name__)

HEAD_S = 15.0  # from a request's first byte, or the connection's beginning, to its last header
BODY_S = 30.0  # without a byte of a body that is not whole, and before it is to be
SLOWEST = 16 << 10  # bytes a second of it
READER_S = 30.0  # that a client may leave what it is sent where it is
MOST_CONNECTIONS = 4096
_MOST_HEAD = 64 << 10  # bytes
_MOST_HEADERS = 128
_MOST_AHEAD = 16  # requests that are read while one is answered
_MOST_UNREAD = 128 << 20  # bytes of a body beyond what is of use
_SHAPE = {400: "bad request", 408: "too slow", 431: "head too large", 503: "too many connections"}


class Connection(HttpToolsProtocol):
    """See asyncio.Protocol."""

    def __init__(self, *args: Any, **how: Any) -> None:
        super().__init__(*args, **how)
        self._timer: asyncio.TimerHandle | None = None
        self._reader_timer: asyncio.TimerHandle | None = None
        self._n_head = self._n_body = self._n_headers = 0
        self._body_begun_s = 0.0
        self._before: RequestResponseCycle | None = None  # what was asked before this
        self._asked: deque[RequestResponseCycle] = deque()  # what is answered, and what waits
        self._in_head, self._in_body = True, False
        self._has_begun = self._is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a head."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            self._refuse(503)
            return
        self._wait(HEAD_S)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._stop_waiting()
        self.resume_writing()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)
        for cycle in self._asked:  # uvicorn tells the last one
            cycle.disconnected = True
            cycle.message_event.set()

    def data_received(self, data: bytes) -> None:
        """Take bytes, as far as they are within limits."""
        if self._is_refused or self.parser is None:
            return
        if self._in_head:
            self._n_head += len(data)
        super().data_received(data)
        if self._is_refused or self.transport.is_closing():
            return
        if self._in_head and self._n_head > _MOST_HEAD:
            self._refuse(431)
        elif self._in_body:
            self._n_body += len(data)
            if self._n_body > _MOST_UNREAD:
                self.transport.abort()
            elif self.loop.time() > self._body_begun_s + BODY_S + self._n_body / SLOWEST:
                self._refuse(408)
            else:
                self._wait(BODY_S)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._has_begun = True
        self._wait(HEAD_S)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One more header."""
        super().on_header(name, value)
        self._n_headers += 1

    def on_headers_complete(self) -> None:
        """A head is whole: it is answered, or refused where it is too large."""
        n_nbytes = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if self._n_headers > _MOST_HEADERS or n_nbytes > _MOST_HEAD:
            self._refuse(431)
        if self._is_refused:
            return
        self._in_head, self._in_body, self._n_head, self._n_headers = False, True, 0, 0
        self._n_body, self._body_begun_s = 0, self.loop.time()
        self._before = self.cycle
        super().on_headers_complete()
        while self._asked and self._asked[0].response_complete:
            self._asked.popleft()
        self._asked.append(self.cycle)
        if len(self._asked) <= _MOST_AHEAD:
            self.flow.resume_reading()  # else nobody saw that the client leaves

    def on_body(self, body: bytes) -> None:
        """A part of a body."""
        if not self._is_refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is whole."""
        self._in_head, self._in_body, self._has_begun = True, False, False
        self._stop_waiting()
        if not self._is_refused:
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP."""
        self._refuse(400)

    def _unsupported_upgrade_warning(self) -> None:
        """Whoever asks for another protocol is answered in this one."""

    def pause_writing(self) -> None:
        """The client does not read what it is sent; it may do so for a while."""
        super().pause_writing()
        if self._reader_timer is None:
            self._reader_timer = self.loop.call_later(READER_S, self._give_up_reader)

    def resume_writing(self) -> None:
        """It reads again."""
        super().resume_writing()
        if self._reader_timer is not None:
            self._reader_timer.cancel()
            self._reader_timer = None

    def timeout_keep_alive_handler(self) -> None:
        """Nobody asks anything any more; what is left unread then is not waited for."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    def shutdown(self) -> None:
        """The server ends."""
        super().shutdown()
        if self.transport.is_closing() and self.transport.get_write_buffer_size():
            self.loop.call_later(1.0, self.transport.abort)

    def _give_up_reader(self) -> None:
        log.info("a client that does not read is given up")
        self.transport.abort()

    def _wait(self, seconds: float) -> None:
        self._stop_waiting()
        self._timer = self.loop.call_later(seconds, self._too_slow)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        if self._in_body and self.flow.read_paused:  # it is us who are slow
            self._wait(BODY_S)
        elif not self._has_begun:
            self.transport.close()  # nothing was asked
        else:
            self._refuse(408)

    def _refuse(self, status: int) -> None:
        """Say what is wrong, unless answers to what came whole are still to be sent, and close."""
        self._is_refused = True
        self._stop_waiting()
        cycle: RequestResponseCycle | None = self.cycle
        last = cycle
        if self._in_body and cycle is not None and not cycle.response_started:
            last = self._before
            if self.pipeline and self.pipeline[0][0] is cycle:  # its turn never comes
                self.pipeline.popleft()
        if last is not None and not last.response_complete:
            last.keep_alive = False  # it is answered as it would have been, and nothing after it
            return
        if self.transport.is_closing():
            return
        text = {"error": {"message": _SHAPE[status], "type": "invalid_request_error",
                          "param": None, "code": None}}  # fmt: skip
        body = dumps(text)
        head = b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
        named = _SHAPE[status].title().encode()
        self.transport.write(
            head % (status, named, len(body)) + b"connection: close\r\n\r\n" + body
        )
        self.transport.close()
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
