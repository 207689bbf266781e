"""The page at `/`: files of the package, and the state that it shows."""

from __future__ import annotations

from functools import cache, partial
from importlib.resources import files
from typing import Any

from starlette.types import Send

from halfbyte.server.exchange import Exchange
from halfbyte.server.fault import Fault
from halfbyte.server.protocol import Protocol, Route
from halfbyte.server.reply import Headers, Json, Plain, Reply

_TYPES = {
    "index.html": "text/html; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "api.js": "text/javascript; charset=utf-8",
    "fill.js": "text/javascript; charset=utf-8",
    "tokens.js": "text/javascript; charset=utf-8",
}
# Nothing from elsewhere, nothing inline, in nobody's frame.
_SAFE = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",
}


class PageFile(Plain):
    """A file of the page, under a policy that lets it load nothing from elsewhere."""

    async def send(self, send: Send, headers: Headers) -> None:
        """See Reply."""
        await super().send(send, {**headers, **_SAFE})


@cache
def _content(name: str) -> bytes:
    return (files("halfbyte.server") / "page" / name).read_bytes()


async def _file(name: str, exchange: Exchange, asked: Any) -> Reply:
    return PageFile(_content(name), content_type=_TYPES[name])


async def _status(exchange: Exchange, asked: Any) -> Reply:
    """What runs and waits now, and how much memory keys and values take."""
    loaded = exchange.shelf.loaded()
    return Json(
        {
            "running": exchange.gate.n_running,
            "waiting": exchange.gate.n_waiting,
            "models": [served.name for served in loaded],
            "kv_bytes": sum({id(s.model): s.kv_nbytes for s in loaded}.values()),
        }
    )


def _error(fault: Fault) -> object:
    return {"error": {"message": fault.message}}


PROTOCOL = Protocol(
    "page",
    (
        Route("GET", "/", partial(_file, "index.html"), is_open=True),
        *(Route("GET", f"/{name}", partial(_file, name), is_open=True) for name in _TYPES),
        Route("GET", "/status", _status),
    ),
    _error,
)
