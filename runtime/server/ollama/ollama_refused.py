"""What Ollama does with its store of models: a server of given models has none, and nothing to
fetch for those that it has.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import ClassVar

from halfbyte.server.exchange import Exchange
from halfbyte.server.fault import Fault
from halfbyte.server.fields import Fields
from halfbyte.server.protocol import Handler, Route
from halfbyte.server.reply import Json, Lines, Reply, dumps

_SERVE = "halfbyte serve -m NAME=MODEL serves it"
_INSTEAD = {
    ("POST", "/api/push"): "models are not published from here",
    ("POST", "/api/create"): f"`halfbyte convert` makes a model file, {_SERVE}",
    ("POST", "/api/copy"): "-m OTHER_NAME=MODEL serves a model under another name",
    ("DELETE", "/api/delete"): "`halfbyte rm MODEL` deletes a model's file",
    ("POST", "/api/blobs/{digest}"): f"files are not taken over the network: {_SERVE}",
    ("HEAD", "/api/blobs/{digest}"): f"files are not taken over the network: {_SERVE}",
}


class PullFields(Fields):
    """The body of `/api/pull`."""

    unused: ClassVar[frozenset[str]] = frozenset({"insecure", "username", "password"})
    model: str | None = None
    name: str | None = None
    stream: bool | None = None


async def pull(exchange: Exchange, asked: PullFields) -> Reply:
    """What is served is here; nothing else is fetched."""
    name = asked.model or asked.name or ""
    if name.removesuffix(":latest") not in exchange.shelf.sources:
        instead = f"`halfbyte pull MODEL` fetches a model, {_SERVE}"
        raise Fault("not_supported", f"/api/pull is not for this server: {instead}")
    if asked.stream is False:
        return Json({"status": "success"})
    return Lines(_statuses())


async def _statuses() -> AsyncIterator[bytes]:
    yield b"".join(dumps({"status": one}) + b"\n" for one in ("pulling manifest", "success"))


def _refusal(path: str, instead: str) -> Handler:
    async def refuse(exchange: Exchange, _: None) -> Reply:
        """Say what to do instead."""
        raise Fault("not_supported", f"{path} is not for this server: {instead}")

    return refuse


OLLAMA_REFUSED = (
    Route("POST", "/api/pull", pull, PullFields),
    *(Route(method, path, _refusal(path, why)) for (method, path), why in _INSTEAD.items()),
)
