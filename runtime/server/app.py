"""The application: the routes of all protocols."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute

from halfbyte.server.anthropic.anthropic_protocol import PROTOCOL as ANTHROPIC
from halfbyte.server.endpoint import Endpoint
from halfbyte.server.fault import STATUS, Fault
from halfbyte.server.gate import Gate
from halfbyte.server.ollama.ollama_protocol import PROTOCOL as OLLAMA
from halfbyte.server.openai.openai_protocol import PROTOCOL as OPENAI
from halfbyte.server.protocol import Protocol
from halfbyte.server.reply import dumps
from halfbyte.server.server_settings import ServerSettings
from halfbyte.server.shelf import Shelf

# The first one's errors are for paths that belong to none.
PROTOCOLS = (OPENAI, OLLAMA, ANTHROPIC)


def make_app(shelf: Shelf, settings: ServerSettings | None = None) -> Starlette:
    """An ASGI application that serves the models of a shelf."""
    settings = settings or ServerSettings()
    gate = Gate(settings.n_places, settings.n_waiting)
    routes = [
        StarletteRoute(
            route.path, Endpoint(protocol, route, shelf, gate, settings), methods=[route.method]
        )
        for protocol in PROTOCOLS
        for route in protocol.routes
    ]

    async def failed(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return _refused(request, error)

    return Starlette(routes=routes, exception_handlers={HTTPException: failed})


def _refused(request: Request, error: HTTPException) -> Response:
    """What Starlette itself refuses, as the protocol of the path would say it."""
    kind = next((k for k, status in STATUS.items() if status == error.status_code), "internal")
    fault = Fault(kind, f"{request.method} {request.url.path[:200]}: {error.detail}")
    body = dumps(_protocol_of(request.url.path).error(fault))
    return Response(body, error.status_code, error.headers, "application/json")


def _protocol_of(path: str) -> Protocol:
    """Whose errors a path's are: of several prefixes the longest counts."""
    found = {
        prefix: protocol
        for protocol in PROTOCOLS
        for prefix in protocol.prefixes
        if path.startswith(prefix)
    }
    return found[max(found, key=len)] if found else PROTOCOLS[0]
