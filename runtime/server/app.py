"""The application: the routes of all protocols."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute

from halfbyte.server.endpoint import Endpoint
from halfbyte.server.fault import STATUS, Fault
from halfbyte.server.gate import Gate
from halfbyte.server.llama_cpp.llama_protocol import PROTOCOL as LLAMA_CPP
from halfbyte.server.ollama.ollama_protocol import PROTOCOL as OLLAMA
from halfbyte.server.openai.openai_protocol import PROTOCOL as OPENAI
from halfbyte.server.page_protocol import PROTOCOL as PAGE
from halfbyte.server.reply import dumps
from halfbyte.server.server_settings import ServerSettings
from halfbyte.server.shelf import Shelf

# The first one's errors are for paths that belong to none.
PROTOCOLS = (OPENAI, LLAMA_CPP, OLLAMA, PAGE)


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
    path = request.url.path
    mine = [p for p in PROTOCOLS if any(path.startswith(prefix) for prefix in p.prefixes)]
    body = dumps((mine or PROTOCOLS)[0].error(fault))
    return Response(body, error.status_code, error.headers, "application/json")
