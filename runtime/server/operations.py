"""What those who run a server ask it: how it is, and what it has counted."""

from __future__ import annotations

from halfbyte.server.exchange import Exchange
from halfbyte.server.metrics import CONTENT_TYPE
from halfbyte.server.protocol import Route
from halfbyte.server.reply import Json, Plain, Reply
from halfbyte.server.server_settings import ServerSettings


async def health(exchange: Exchange, asked: None) -> Reply:
    """`GET /health`: {"status": "ok"}, which editors compare, or 503 and what is the matter."""
    if exchange.gate.is_stopped:
        return _unwell("stopping")
    if exchange.shelf.is_starting:
        return _unwell("loading model")
    if exchange.gate.is_full:
        return _unwell("overloaded")
    return Json({"status": "ok"})


async def metrics(exchange: Exchange, asked: None) -> Reply:
    """`GET /metrics`, for Prometheus."""
    return Plain(exchange.state.metrics.text(), content_type=CONTENT_TYPE)


def _unwell(status: str) -> Reply:
    error = {"code": 503, "message": status, "type": "unavailable_error"}
    return Json({"status": status, "error": error}, 503)


def metrics_routes(settings: ServerSettings) -> tuple[Route, ...]:
    """The route to what is counted, where there is one."""
    if settings.metrics == "off":
        return ()
    return (Route("GET", "/metrics", metrics, is_open=settings.metrics == "open"),)


OPERATIONS = (
    Route("GET", "/health", health, is_open=True),
    Route("GET", "/v1/health", health, is_open=True),
)
