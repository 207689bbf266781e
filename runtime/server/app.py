"""The application: the routes of all protocols, and what stands before them."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute
from starlette.routing import compile_path
from starlette.types import Scope, Send

from halfbyte.server.anthropic.anthropic_protocol import PROTOCOL as ANTHROPIC
from halfbyte.server.description import description_route
from halfbyte.server.endpoint import Endpoint, refusal
from halfbyte.server.fault import STATUS, Fault, Kind
from halfbyte.server.llama_cpp.llama_protocol import PROTOCOL as LLAMA_CPP
from halfbyte.server.ollama.ollama_protocol import PROTOCOL as OLLAMA
from halfbyte.server.openai.openai_protocol import PROTOCOL as OPENAI
from halfbyte.server.operations import OPERATIONS, metrics_routes
from halfbyte.server.page_protocol import PROTOCOL as PAGE
from halfbyte.server.protocol import Protocol, Route
from halfbyte.server.reply import dumps
from halfbyte.server.security import Security
from halfbyte.server.server_settings import ServerSettings
from halfbyte.server.server_state import ServerState
from halfbyte.server.shelf import Shelf
from halfbyte.server.watch import Watch

# The first one's errors are for paths that belong to none; of routes for one path the first counts.
PROTOCOLS = (OPENAI, LLAMA_CPP, OLLAMA, ANTHROPIC, PAGE)

_N_THREADS = 32  # that encode prompts and load models, most of the time waiting
_LOOK_S = 1.0  # for models that nobody uses


def make_app(shelf: Shelf, settings: ServerSettings | None = None) -> Starlette:
    """An ASGI application that serves the models of a shelf.

    Its `state` has the shelf and the gate: who ends the server stops the one and closes the other.
    """
    settings = settings or ServerSettings()
    state = ServerState(shelf, settings)
    mine = [(OPENAI, route) for route in (*OPERATIONS, *metrics_routes(settings))]
    all_routes = [*mine, *((p, route) for p in PROTOCOLS for route in p.routes)]
    all_routes.append((OPENAI, description_route(all_routes)))
    routes = [
        _Route(route.path, Endpoint(protocol, route, state), methods=[route.method])
        for protocol, route in all_routes
    ]
    open_paths = [_pattern(route) for _, route in all_routes if route.is_open]
    layers = [
        Middleware(Watch, state),
        Middleware(Security, settings, open_paths, _refuse),
    ]
    app = Starlette(
        routes=routes, middleware=layers, lifespan=_lifespan,
        exception_handlers={HTTPException: _failed},
    )  # fmt: skip
    app.router.redirect_slashes = False
    app.state.shelf, app.state.gate = shelf, state.gate
    return app


class _Route(StarletteRoute):
    """Starlette's, for the path alone: `$` in its pattern takes a line's end behind it too."""

    def __init__(self, *args: Any, **how: Any) -> None:
        super().__init__(*args, **how)
        self.path_regex = re.compile(rf"{self.path_regex.pattern.removesuffix('$')}\Z")


@contextlib.asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    """What runs beside the requests."""
    loop, shelf = asyncio.get_running_loop(), app.state.shelf
    loop.set_default_executor(ThreadPoolExecutor(_N_THREADS, thread_name_prefix="halfbyte-server"))
    looking = asyncio.ensure_future(_unload_idle(shelf))
    try:
        yield
    finally:
        looking.cancel()
        await shelf.close()


async def _unload_idle(shelf: Shelf) -> None:
    while True:
        await asyncio.sleep(_LOOK_S)
        await shelf.unload_idle()


def _pattern(route: Route) -> re.Pattern[str]:
    return compile_path(route.path)[0]


def protocol_of(path: str) -> Protocol:
    """Whose errors a path's are: of several prefixes the longest counts."""
    found = {
        prefix: protocol
        for protocol in PROTOCOLS
        for prefix in protocol.prefixes
        if path.startswith(prefix)
    }
    return found[max(found, key=len)] if found else PROTOCOLS[0]


async def _refuse(scope: Scope, fault: Fault, send: Send) -> None:
    """A fault before there is a route, as the protocol of the path would say it."""
    record = scope["state"]["record"]
    record.error, fault.request_id = fault.kind, record.request_id
    await refusal(protocol_of(scope["path"]), fault).send(send, {})


async def _failed(request: Request, error: Exception) -> Response:
    """What Starlette itself refuses."""
    assert isinstance(error, HTTPException)
    kinds: list[Kind] = [k for k, status in STATUS.items() if status == error.status_code]
    path = request.url.path
    fault = Fault((kinds or ["internal"])[0], f"{request.method} {path[:200]}: {error.detail}")
    record = request.state.record
    record.error, fault.request_id = fault.kind, record.request_id
    body = dumps(protocol_of(path).error(fault))
    return Response(body, error.status_code, error.headers, "application/json")
