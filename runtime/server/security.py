"""Who may ask: Host, Origin and key are looked at before anything else of a request.

A page in a browser can send requests to this machine, and with a name of its own that it lets point
here (DNS rebinding) it could read the answers too. So the name by which a client calls has to be
one of this machine's, and a page has to be this server's own or one that `--cors-origin` names.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from halfbyte.server.api_keys import ApiKeys
from halfbyte.server.fault import Fault
from halfbyte.server.server_settings import ServerSettings

_PORT = re.compile(r":\d{1,5}")
_METHODS = b"GET, HEAD, POST, PUT, DELETE, OPTIONS"
_MAX_AGE = b"600"
Refuse = Callable[[Scope, Fault, Send], Awaitable[None]]


class Security:
    """An ASGI application around another one.

    Args:
        app: what gets the requests that are let through.
        settings: who may ask.
        open_paths: of routes that need no key.
        refuse: sends an error in the shape of the path's protocol.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: ServerSettings,
        open_paths: Sequence[re.Pattern[str]],
        refuse: Refuse,
    ) -> None:
        self._app, self._open, self._refuse = app, open_paths, refuse
        self._keys = ApiKeys(settings.keys)
        self._hosts = {"localhost", socket.gethostname().lower(), *map(str.lower, settings.hosts)}
        self._origins = set(settings.origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        told = _told(scope)
        try:
            self._check_host(scope, told)
            origin = self._checked_origin(scope, told)
        except Fault as fault:
            await self._refuse(scope, fault, send)
            return
        if origin is not None:
            send = _with_origin(send, origin)
            if scope["method"] == "OPTIONS" and b"access-control-request-method" in told:
                await _send_preflight(send, told)
                return
        try:
            self._check_key(scope, told)
        except Fault as fault:
            await self._refuse(scope, fault, send)
            return
        await self._app(scope, receive, send)

    def _check_host(self, scope: Scope, told: dict[bytes, list[bytes]]) -> None:
        """Refuse a name that is not this machine's; over a Unix socket any is as good."""
        hosts = told.get(b"host", [])
        if len(hosts) > 1:
            raise Fault("invalid_request", "host: expected one, got several")
        if not scope.get("client") or not hosts:  # HTTP/1.0, which no browser speaks, has none
            return
        name = _host_name(hosts[0].decode("latin-1"))
        if not self._knows(name):
            message = f"host: expected a name of this machine, got {name[:100]!r}"
            raise Fault("permission", f"{message}; its user can allow it with --allowed-host")

    def _knows(self, name: str) -> bool:
        if name in self._hosts or "*" in self._hosts or name.endswith(".localhost"):
            return True
        if any(one.startswith(".") and name.endswith(one) for one in self._hosts):
            return True
        try:  # an address is no name that somebody could let point here
            ipaddress.ip_address(name.partition("%")[0])
        except ValueError:
            return False
        return True

    def _checked_origin(self, scope: Scope, told: dict[bytes, list[bytes]]) -> bytes | None:
        """The origin of a page that may read the answer; None where that needs no saying."""
        origins = told.get(b"origin")
        if not origins:
            return None
        origin = origins[0].decode("latin-1")
        host = told.get(b"host", [b""])[0].decode("latin-1")
        if origin.lower() in (f"http://{host}".lower(), f"https://{host}".lower()):
            return None
        if origin in self._origins or "*" in self._origins:
            return origins[0]
        message = f"origin: expected this server's own pages, got {origin[:100]!r}"
        raise Fault("permission", f"{message}; its user can allow them with --cors-origin")

    def _check_key(self, scope: Scope, told: dict[bytes, list[bytes]]) -> None:
        """Note whose key it is; refuse one that is nobody's."""
        if not self._keys:
            return
        name = next((n for k in _given(told) if (n := self._keys.name_of(k)) is not None), None)
        if name is not None:
            scope["state"]["key"] = scope["state"]["record"].client = name
        elif not any(path.fullmatch(scope["path"]) for path in self._open):
            raise Fault("authentication", "expected a key, as a bearer token or in x-api-key")


def _told(scope: Scope) -> dict[bytes, list[bytes]]:
    """The headers by name."""
    told: dict[bytes, list[bytes]] = {}
    for name, value in scope["headers"]:
        told.setdefault(name, []).append(value)
    return told


def _host_name(host: str) -> str:
    """A host without its port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    name, colon, port = host.rpartition(":")
    bare = name if colon and _PORT.fullmatch(f":{port}") else host
    return bare.rstrip(".").lower()


def _given(told: dict[bytes, list[bytes]]) -> list[str]:
    """The keys that a request shows."""
    keys = [value.decode("latin-1").strip() for value in told.get(b"x-api-key", [])]
    for value in told.get(b"authorization", []):
        kind, _, key = value.decode("latin-1").strip().partition(" ")
        if kind.lower() == "bearer":
            keys.append(key.strip())
    return keys


def _with_origin(send: Send, origin: bytes) -> Send:
    """Let a page read what is sent."""
    more = [
        (b"access-control-allow-origin", origin), (b"vary", b"origin"),
        (b"access-control-expose-headers", b"x-request-id, retry-after"),
    ]  # fmt: skip

    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *more]
        await send(message)

    return told


async def _send_preflight(send: Send, told: dict[bytes, list[bytes]]) -> None:
    """What a browser asks before it lets a page ask."""
    wanted = told.get(b"access-control-request-headers", [b""])[0]
    headers = [
        (b"access-control-allow-methods", _METHODS), (b"access-control-max-age", _MAX_AGE),
        (b"content-length", b"0"),
    ]  # fmt: skip
    if wanted:
        headers.append((b"access-control-allow-headers", wanted))
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
