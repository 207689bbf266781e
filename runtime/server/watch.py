"""The outermost layer: each request gets a record, a line in the log, and is counted."""

from __future__ import annotations

import json
import logging
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from halfbyte.printable import printable
from halfbyte.server.record import Record, request_id
from halfbyte.server.server_state import ServerState

# Its lines are wanted whether or not the rest of the log is: `serve` sets its level.
requests = logging.getLogger("halfbyte.server.requests")
_MOST_PATH, _MOST_PROMPT = 200, 10_000


class Watch:
    """An ASGI application around another one."""

    def __init__(self, app: ASGIApp, state: ServerState) -> None:
        self._app, self._state = app, state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        address = scope.get("client")
        record = Record(
            request_id(scope["headers"]), address[0] if address else "local", scope["method"],
            scope["path"],
        )  # fmt: skip
        scope.setdefault("state", {})["record"] = record
        name = (b"x-request-id", record.request_id.encode())

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                message["headers"] = [*message["headers"], name]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            record.total_s = time.monotonic() - record.begun_s
            self._state.metrics.count(record)
            if requests.isEnabledFor(logging.INFO):
                requests.info("%s", line(record, as_json=self._is_json))

    @property
    def _is_json(self) -> bool:
        return self._state.settings.log_format == "json"


def line(record: Record, *, as_json: bool) -> str:
    """What the log says of a request: no word of what was asked or answered."""
    facts: dict[str, Any] = {
        "id": record.request_id, "client": record.client, "method": record.method,
        "path": record.path[:_MOST_PATH], "status": record.status, "s": round(record.total_s, 4),
    }  # fmt: skip
    if record.error:
        facts["error"] = record.error
    if record.is_cut:
        facts["cut"] = True
    if record.model:
        facts["model"] = record.model
    for name, seconds in (("queued_s", record.queued_s), ("first_s", record.first_s)):
        if seconds is not None:
            facts[name] = round(seconds, 4)
    if record.answers:
        facts |= {
            "prompt": record.n_prompt, "cached": record.n_reused, "tokens": record.n_answer,
            "finish": ",".join(one.finish_reason for one in record.answers),
        }  # fmt: skip
    if record.prompt is not None:
        facts["text"] = record.prompt[:_MOST_PROMPT]
    if as_json:
        return json.dumps(facts, ensure_ascii=False)
    return " ".join(f"{name}={_plain(value)}" for name, value in facts.items())


def _plain(value: object) -> str:
    """A value without blanks, or in quotes."""
    text = str(value)
    if not text or any(not one.isprintable() or one in ' "=' for one in text):
        return json.dumps(printable(text), ensure_ascii=False)
    return text
